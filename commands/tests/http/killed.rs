//! Kill -9 under load: what was answered with 2xx exists afterwards, once; and the daemon can be asked while
//! it recovers.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::crash::scene::{Scene, read_json, wait_for};
use crate::http::client::{Served, exchange};

#[test]
fn what_was_acknowledged_survives() {
    let served = Served::new();
    let (address, token) = (served.address.clone(), format!("Bearer {}", served.token("admin")));
    let (acknowledged, over) = (Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    let Served { daemon, scene, .. } = served;
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (acknowledged, over, address, token) = (&acknowledged, &over, &address, &token);
            scope.spawn(move || {
                for n in 0.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let body = json!({ "command": ["true"] }).to_string();
                    let key = format!("{thread}-{n}");
                    let headers = [("Authorization", token.as_str()), ("Idempotency-Key", key.as_str())];
                    if let Some(reply) = exchange(address, "POST", "/api/jobs", Some(&body), &headers)
                        && reply.status == 201
                    {
                        let id = reply.json()["job_id"].as_str().unwrap().to_owned();
                        acknowledged.lock().unwrap().insert(id);
                    }
                }
            });
        }
        crate::common::until("enough jobs", || acknowledged.lock().unwrap().len() > 60);
        daemon.kill();
        over.store(true, Ordering::SeqCst);
    });
    let served = Served::with(scene, 4);
    let listed = served.get("/api/jobs").is(200).json();
    let jobs = listed["jobs"].as_array().unwrap();
    let there: BTreeSet<String> = jobs.iter().map(|j| j["job_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(there.len(), jobs.len(), "each once");
    let missing: Vec<_> = acknowledged.lock().unwrap().difference(&there).cloned().collect();
    assert!(missing.is_empty(), "acknowledged and lost: {missing:?}");
}

#[test]
fn a_daemon_that_recovers_can_be_asked_and_steered() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[daemon]\nlisten = \"127.0.0.1:0\"\n");
    // A disk that does not answer, as the phase `locks` meets it: a pipe that nobody writes to.
    let (pipe, link) = (scene.place.path("slow"), scene.place.state().join("locks/slow.lock.json"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    let daemon = scene.start_daemon(1);
    let info = scene.place.state().join("daemon/daemon.json");
    // A recovery that takes long is announced.
    wait_for("the daemon to be found", || info.exists());
    let known = read_json(&info);
    assert_eq!((&known["pid"], &known["ready"]), (&json!(daemon.child.id()), &json!(false)));
    assert!(recovery::daemon::running_daemon(&scene.dir()).unwrap().is_none(), "it takes no jobs yet");
    let served = Served { address: known["address"].as_str().unwrap().to_owned(), daemon, scene };
    wait_for("the phase to hang", || {
        let probe = exchange(&served.address, "GET", "/readyz", None, &[]).unwrap();
        assert!(probe.header("retry-after").is_some());
        let progress = probe.is(503).json();
        assert_eq!(progress["state"], "recovering");
        let phases = progress["recovery"]["phases"].as_array().cloned().unwrap_or_default();
        phases.iter().any(|p| p["phase"] == "locks" && p["status"] == "running")
    });
    exchange(&served.address, "GET", "/livez", None, &[]).unwrap().is(200);
    let waits = served.post("/api/jobs", &json!({ "command": ["true"] }));
    assert!(waits.header("retry-after").is_some());
    waits.problem(503, "recovering");
    assert!(served.get("/api/admin/recovery/phases").is(200).json()["phases"].is_array());
    // The next client gets an answer; the phase itself hangs on.
    std::fs::remove_file(link).unwrap();
    let skip = json!({ "phase": "locks", "reason": "the disk hangs" });
    let skipped = served.post("/api/admin/recovery/skip-phase", &skip).is(200).json();
    assert_eq!((&skipped["accepted"], &skipped["was"]), (&json!(true), &json!("running")));
    wait_for("the daemon to be ready", || {
        exchange(&served.address, "GET", "/readyz", None, &[]).unwrap().status == 200
    });
    served.submit(&json!({ "id": "new", "command": ["true"] }));
    served.wait_for("new", "succeeded");
}
