//! SIGHUP: the daemon takes its settings over while it works, and names those that it cannot.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::common::until;
use crate::crash::scene::{Daemon, Scene, read_json, wait_for};
use crate::http::client::{Served, exchange};

/// A daemon that is set up by its configuration alone.
fn configured(configuration: &str) -> Served {
    let scene = Scene::new();
    scene.place.write("config.toml", configuration);
    let mut command = scene.place.command();
    let said = std::fs::File::create(scene.place.path("said")).unwrap();
    command.arg("daemon").stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).process_group(0);
    let daemon = Daemon { child: command.spawn().unwrap() };
    let info = scene.place.state().join("daemon/daemon.json");
    until("the daemon to take jobs", || info.exists() && read_json(&info)["ready"] == true);
    let address = read_json(&info)["address"].as_str().unwrap().to_owned();
    Served { daemon, scene, address }
}

fn reload(served: &Served, configuration: &str) {
    served.scene.place.write("config.toml", configuration);
    let pid = Pid::from_raw(i32::try_from(served.daemon.child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
}

fn said(served: &Served) -> String {
    std::fs::read_to_string(served.scene.place.path("said")).unwrap()
}

const BEFORE: &str = "[daemon]\nworkers = 1\nlisten = \"127.0.0.1:0\"\n[webhooks]\nretry = [\"1h\"]\n";

#[test]
fn what_works_is_taken_over_and_what_is_not_is_named() {
    let served = configured(BEFORE);
    for id in ["one", "two"] {
        served.submit(&json!({ "id": id, "command": ["sleep", "600"] }));
    }
    served.wait_for("one", "running");
    assert_eq!(served.get("/api/jobs/two").is(200).json()["status"], "queued");
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", receiver.local_addr().unwrap());
    reload(
        &served,
        &format!(
            "[daemon]\nworkers = 3\nlisten = \"127.0.0.1:1\"\nhosts = [\"batch.example\"]\n\
             [webhooks]\nretry = [\"1h\"]\n[[webhooks.endpoints]]\nname = \"ops\"\nurl = \"{url}\"\n\
             events = [\"job.ended\"]\n"
        ),
    );
    served.wait_for("two", "running");
    // Another receiver gets the ends, from a moment on that nobody outside knows.
    receiver.set_nonblocking(true).unwrap();
    let mut accepted = None;
    wait_for("a delivery to the new endpoint", || {
        served.submit(&json!({ "command": ["true"] }));
        accepted = receiver.accept().ok();
        accepted.is_some()
    });
    let (mut stream, _) = accepted.unwrap();
    stream.set_nonblocking(false).unwrap();
    let mut bytes = [0; 64];
    let n = stream.read(&mut bytes).unwrap();
    assert!(bytes[..n].starts_with(b"POST /hook"), "{}", String::from_utf8_lossy(&bytes[..n]));
    drop(stream);
    exchange(&served.address, "GET", "/livez", None, &[("Host", "batch.example")]).unwrap().is(200);
    let trail = served.get("/api/admin/audit?action=reload").is(200).json();
    let detail = trail["entries"][0]["detail"].as_str().unwrap();
    let wanted = "changed: daemon.workers, daemon.hosts, webhooks.endpoints; \
                  not before a restart: daemon.listen";
    assert_eq!(detail, wanted);
    assert!(said(&served).contains(wanted), "{}", said(&served));
}

#[test]
fn what_is_kept_is_looked_at_again() {
    let served = configured(BEFORE);
    served.submit(&json!({ "id": "old", "command": ["true"] }));
    served.wait_for("old", "succeeded");
    reload(&served, &format!("{BEFORE}[jobs]\nkeep_days = 0\nkeep_last = 0\n"));
    wait_for("the job to go", || served.get("/api/jobs").is(200).json()["total"] == 0);
}

#[test]
fn a_configuration_that_cannot_be_used_changes_nothing() {
    let served = configured(BEFORE);
    reload(&served, "[daemon]\nworkers = 0\n");
    until("the refusal to be told", || said(&served).contains("the old one stays"));
    // A folder elsewhere is for the next daemon.
    let elsewhere = served.scene.place.path("elsewhere");
    reload(&served, &format!("state_dir = {:?}\n{BEFORE}", elsewhere.to_str().unwrap()));
    until("the change to be told", || said(&served).contains("read anew"));
    served.submit(&json!({ "id": "here", "command": ["true"] }));
    served.wait_for("here", "succeeded");
    assert!(!elsewhere.exists());
}
