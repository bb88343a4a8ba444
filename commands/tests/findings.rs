//! Every finding code is raised by a real cause. The codes that no other test provokes are here, and the last
//! test checks that none is forgotten.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests damage files.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use recovery::findings::catalogue;
use recovery::queue::{Actor, Operation, append};
use recovery::recovery::{Phase, PhaseError, PhaseGraph, PhaseOutcome, RunOptions, request_skip, run};
use recovery::startup::{StartedBy, Startup};
use recovery::system::signal_process;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::crash::scene::{Scene, kill, read_json, wait_for};

/// Waits for its gate.
const GATED: &str = "echo began >> $W/$RECOVERYCTL_JOB_ID; until [ -e $W/open ]; do sleep 0.02; done";

/// A job that runs while no daemon lives.
fn running_alone(scene: &Scene, id: &str, options: &[&str]) {
    let daemon = scene.daemon(2);
    scene.submit(id, options, GATED);
    scene.wait_for_witness(id);
    daemon.kill();
}

fn segment(scene: &Scene) -> PathBuf {
    let folder = scene.place.state().join("queue/log");
    let names = std::fs::read_dir(folder).unwrap().flatten().map(|e| e.path());
    names.filter(|p| p.extension().is_some_and(|e| e == "log")).max().unwrap()
}

fn codes_of(findings: &Value) -> Vec<&str> {
    findings.as_array().unwrap().iter().filter_map(|f| f["code"].as_str()).collect()
}

#[test]
fn a_flipped_byte_is_damage_a_gap_and_a_quarantine() {
    let scene = Scene::new();
    for id in ["first", "second", "third"] {
        scene.submit(id, &[], "true");
    }
    let path = segment(&scene);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|w| w == b"\"second\"").unwrap();
    bytes[at + 2] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let recovered = scene.recover();
    recovered.names("log-record-damaged").names("log-records-missing");
    assert_eq!(recovered.status, 3);
    let status = scene.json(&["status"], 3);
    assert!(codes_of(&status["findings"]).contains(&"quarantine-not-empty"), "{status}");
    assert!(!scene.recover().codes().contains(&"log-records-missing".to_owned()));
}

#[test]
fn a_record_that_does_not_fit_is_refused() {
    let scene = Scene::new();
    let ghost = Operation::Claim { job: "ghost".parse().unwrap(), attempt: 1, host: None };
    append(&scene.dir(), &Actor::default(), &[ghost]).unwrap();
    scene.recover().names("log-record-refused");
    // Its next step works, and shows the record.
    let findings = scene.json(&["findings", "--code", "log-record-refused"], 0);
    let (object, next) =
        (&findings["findings"][0]["object"], findings["findings"][0]["next"].as_str().unwrap());
    let words: Vec<&str> = next.split(' ').collect();
    assert_eq!(words[0], "recoveryctl", "{next}");
    let shown = scene.json(&words[1..], 0);
    let mut entries = shown["entries"].as_array().unwrap().iter();
    let claim = entries.find(|entry| entry["object"] == "job:ghost").unwrap_or_else(|| panic!("{shown:#}"));
    assert_eq!(*object, format!("record:{}", claim["seq"]), "{shown:#}");
    scene.recover();
    assert_eq!(scene.json(&["findings", "--code", "log-record-refused"], 0)["total"], 0);
}

#[test]
fn the_last_attempt_that_crashes_is_told() {
    let scene = Scene::new();
    running_alone(&scene, "twice", &["--on-crash", "requeue", "--max-attempts", "1"]);
    let (supervisor, command) = (scene.supervisor_of("twice"), scene.command_of("twice"));
    kill(supervisor);
    kill(command);
    wait_for("the command's children to end", || {
        scene.open_gate("open");
        scene.recover().codes().contains(&"job-attempts-exhausted".to_owned())
    });
}

#[test]
fn what_another_host_left_is_unknown() {
    let scene = Scene::new();
    running_alone(&scene, "abroad", &[]);
    let (supervisor, command) = (scene.supervisor_of("abroad"), scene.command_of("abroad"));
    kill(supervisor);
    kill(command);
    for name in ["sentinel.json", "command.json"] {
        let path = scene.job_file("abroad", name);
        let mut document = read_json(&path);
        document["host"]["boot_id"] = json!("00000000-0000-0000-0000-000000000000");
        document["host"]["machine_id"] = json!("00000000000000000000000000000000");
        std::fs::write(&path, document.to_string()).unwrap();
    }
    let recovered = scene.recover();
    recovered.names("job-liveness-unknown");
    assert_eq!(recovered.status, 3);
    scene.open_gate("open");
}

/// The file with the boot's id may be hidden from one of two processes, or mounted over: a living process is
/// better evidence.
#[test]
fn job_under_another_boot_id_lives_and_that_is_told() {
    let scene = Scene::new();
    running_alone(&scene, "views", &["--repo", "web"]);
    kill(scene.supervisor_of("views"));
    let mut files = vec![scene.job_file("views", "sentinel.json"), scene.job_file("views", "command.json")];
    files.push(scene.place.state().join("locks/web.lock.json"));
    for path in files {
        let mut document = read_json(&path);
        document["host"]["boot_id"] = json!("11111111-2222-4333-8444-555555555555");
        // Metadata in another form was written by a person, and needs no checksum.
        std::fs::write(&path, serde_json::to_string_pretty(&document).unwrap()).unwrap();
    }
    scene.recover().names("boot-identity-differs");
    let refused = scene.json(&["lock", "web", "--wait", "1ms", "--", "true"], 11);
    assert_eq!(refused["error"]["exit"], 11, "{refused:#}");
    assert_eq!(scene.json(&["jobs", "show", "views"], 0)["status"], "running");
    scene.open_gate("open");
}

#[test]
fn a_stopped_supervisor_and_a_heartbeat_from_the_future() {
    let scene = Scene::new();
    running_alone(&scene, "still", &[]);
    let supervisor = scene.supervisor_of("still");
    assert!(signal_process(supervisor, Signal::STOP).unwrap());
    scene.recover().names("job-stopped");
    let beat = std::fs::File::options().write(true).open(scene.job_file("still", "sentinel.json")).unwrap();
    beat.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    scene.recover().names("clock-skew");
    beat.set_modified(SystemTime::now() - Duration::from_secs(121)).unwrap();
    scene.recover().names("job-heartbeat-stale");
    assert!(signal_process(supervisor, Signal::CONT).unwrap());
    scene.open_gate("open");
    scene.wait_for_status("still", recovery::queue::JobStatus::Succeeded);
}

#[test]
fn a_startup_that_died_and_what_it_left() {
    let scene = Scene::new();
    let (startup, _) = Startup::begin(&scene.dir(), StartedBy::Recover).unwrap();
    startup.enter("queue").unwrap();
    drop(startup); // Without its end: as if killed.
    std::fs::write(scene.place.state().join("jobs/.tmp-aBc123"), "half").unwrap();
    scene.recover().names("startup-aborted").names("temporary-files-removed");
    assert!(!scene.place.state().join("jobs/.tmp-aBc123").exists());
    assert!(scene.recover().codes().iter().all(|c| c != "startup-aborted"));
}

fn options() -> RunOptions {
    RunOptions { pauses: vec![Duration::ZERO], ..RunOptions::default() }
}

fn all_codes(record: &recovery::recovery::RecoveryRecord) -> Vec<String> {
    record.snapshot.all_findings().map(|f| f.code.to_string()).collect()
}

#[test]
fn a_phase_that_is_tried_again_and_a_skip_too_late() {
    let scene = Scene::new();
    let dir = scene.dir();
    let asked = dir.clone();
    let failed_once = std::sync::atomic::AtomicBool::new(false);
    let first = Phase::new("first", "items", move |_| {
        if failed_once.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return Ok(PhaseOutcome::default());
        }
        Err(PhaseError::failed("look once", std::io::Error::other("not yet")))
    });
    let second = Phase::new("second", "items", move |_| {
        // `request_skip` would not accept the request now, but it can still happen between its look and its
        // write.
        let path = asked.paths.recovery_requests().join("skip-first.json");
        let text = json!({ "phase": "first", "by": "test", "at": "2026-03-01T09:30:00.000Z" });
        std::fs::write(path, text.to_string()).map_err(|e| PhaseError::failed("ask", e))?;
        Ok(PhaseOutcome::default())
    })
    .after(&["first"]);
    let graph = PhaseGraph::new(vec![first, second]).unwrap();
    let record = run(&dir, &graph, &options()).unwrap();
    let codes = all_codes(&record);
    assert!(codes.contains(&"phase-retried".to_owned()), "{codes:?}");
    assert!(codes.contains(&"skip-too-late".to_owned()), "{codes:?}");
    let answer = request_skip(&dir, &["first", "second"], "first", "test", None).unwrap();
    assert!(answer.accepted, "between two runs a request counts for the next one");
}

#[test]
fn requests_that_cannot_be_read() {
    let scene = Scene::new();
    let dir = scene.dir();
    std::fs::remove_dir(dir.paths.recovery_requests()).unwrap();
    std::fs::write(dir.paths.recovery_requests(), "no folder").unwrap();
    let only = Phase::new("only", "items", |_| Ok(PhaseOutcome::default()));
    let record = run(&dir, &PhaseGraph::new(vec![only]).unwrap(), &options()).unwrap();
    assert!(all_codes(&record).contains(&"recovery-requests-unreadable".to_owned()));
}

#[test]
fn a_legacy_job_that_no_record_can_hold_is_left_out() {
    let scene = Scene::new();
    let workspace = scene.place.path("legacy");
    for folder in ["jobs", "staging", "repos"] {
        std::fs::create_dir_all(workspace.join(folder)).unwrap();
    }
    let id = "0d9c7a52-6f5e-4a39-9d53-1d2f8f0b7c11";
    let prompt = "x".repeat(65 << 20);
    let job = json!({ "Id": id, "Prompt": prompt, "Status": 1, "QueuePosition": 1,
        "CreatedAt": "2026-03-01T09:30:00.1234561Z" });
    std::fs::write(workspace.join(format!("jobs/{id}.job.json")), job.to_string()).unwrap();
    let path = workspace.display().to_string();
    let report = scene.json(&["import", "claude-batch-server", &path], 3);
    assert!(codes_of(&report["findings"]).contains(&"import-job-left-out"), "{}", report["findings"]);
    assert_eq!(report["imported"], 0);
}

/// All Rust sources below a folder, without what was built.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && !name.as_encoded_bytes().starts_with(b".") {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn every_code_is_raised_by_the_product_and_named_in_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    sources(root, &mut files);
    // The laboratory's parts are run by tests.
    let is_test = |path: &Path, text: &str| {
        path.iter().any(|p| p == "tests" || p == "lab") || text.contains("#[cfg(test)]")
    };
    let mut wanting = Vec::new();
    for entry in catalogue::ALL {
        let constant = format!("catalogue::{}", entry.code.to_uppercase().replace('-', "_"));
        let quoted = format!("\"{}\"", entry.code);
        let raised = files.iter().any(|(_, text)| text.contains(&constant));
        let tested = files.iter().any(|(path, text)| {
            is_test(path, text) && !path.iter().any(|p| p == "catalogue") && text.contains(&quoted)
        });
        if !raised || !tested {
            wanting.push((entry.code, raised, tested));
        }
    }
    assert!(wanting.is_empty(), "(code, raised, tested): {wanting:?}");
}
