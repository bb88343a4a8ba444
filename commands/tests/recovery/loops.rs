//! Three aborted starts within ten minutes: safe mode, and both ways out.

use recovery::daemon::running_daemon;
use recovery::queue::JobStatus;
use serde_json::{Value, json};

use super::{after_a_crash, crash_loop};
use crate::crash::scene::{Daemon, Scene, wait_for};

/// A daemon on a state directory whose last three startups died in phase `queue`.
fn in_safe_mode() -> (Scene, Daemon) {
    let scene = after_a_crash();
    crash_loop(&scene, "queue");
    let status = scene.json(&["status"], 3);
    assert_eq!((&status["state"], &status["daemon"]), (&json!("safe_mode"), &json!(null)), "{status}");
    let daemon = scene.daemon(2);
    (scene, daemon)
}

fn codes(status: &Value) -> Vec<&str> {
    status["findings"].as_array().unwrap().iter().filter_map(|f| f["code"].as_str()).collect()
}

#[test]
fn the_daemon_comes_up_and_starts_no_job_until_the_startups_are_cleared() {
    let (scene, daemon) = in_safe_mode();
    let up = running_daemon(&scene.dir()).unwrap().unwrap();
    assert!(up.safe_mode && up.pid == daemon.child.id());
    let status = scene.json(&["status"], 3);
    assert_eq!(status["state"], "safe_mode");
    assert_eq!(status["action"], "recoveryctl retry phase queue");
    let sentence = status["status"].as_str().unwrap();
    assert!(sentence.contains("phase queue") && sentence.contains("recoveryctl startup clear"), "{sentence}");
    assert!(codes(&status).contains(&"safe-mode"), "{status}");
    assert_eq!(status["daemon"]["safe_mode"], true);
    let detection = scene.json(&["startup", "detection"], 0);
    assert_eq!((&detection["safe_mode"], &detection["consecutive_aborts"]), (&json!(true), &json!(3)));
    assert_eq!(detection["because"].as_array().unwrap().len(), 3);
    assert!(scene.run(&["status"]).ends_with(3).stdout.starts_with("SAFE MODE"));

    // Jobs can be submitted; nobody starts one.
    scene.submit("later", &[], "echo ran >> $W/later");
    assert_eq!(scene.json(&["work", "--once"], 12)["error"]["code"], "safe-mode");
    assert_eq!(scene.json(&["recover"], 11)["error"]["exit"], 11);
    // Also after the daemon was started again.
    daemon.kill();
    let _daemon = scene.daemon(2);
    assert_eq!(scene.json(&["status"], 3)["state"], "safe_mode");
    assert_eq!((scene.status("waits"), scene.status("later")), (JobStatus::Queued, JobStatus::Queued));
    assert!(scene.witnessed("waits").is_empty());

    let would = scene.json(&["startup", "clear", "--dry-run"], 0);
    assert_eq!((&would["was_safe_mode"], &would["cleared"]), (&json!(true), &json!(false)));
    assert_eq!(scene.json(&["status"], 3)["state"], "safe_mode");
    let cleared = scene.json(&["startup", "clear", "--reason", "more memory"], 0);
    assert_eq!((&cleared["was_safe_mode"], &cleared["cleared"]), (&json!(true), &json!(true)));
    for id in ["waits", "later"] {
        scene.wait_for_status(id, JobStatus::Succeeded);
        assert_eq!(scene.witnessed(id), ["ran"]);
    }
    wait_for("the daemon to leave safe mode", || {
        running_daemon(&scene.dir()).unwrap().is_some_and(|d| !d.safe_mode)
    });
    assert_ne!(scene.json(&["status"], 0)["state"], "safe_mode");
    let trail = recovery::audit::read(&scene.dir()).unwrap();
    let entry = trail.entries.iter().find(|(_, e)| e.action == "startup clear").unwrap();
    assert_eq!(entry.1.why.as_deref(), Some("more memory"));
}

#[test]
fn trying_the_phase_again_that_died_is_a_way_out() {
    let (scene, daemon) = in_safe_mode();
    let retried = scene.json(&["retry", "phase", "queue"], 0);
    assert_eq!((&retried["component"], &retried["status"]), (&json!("queue"), &json!("succeeded")));
    assert_eq!(retried["by"], "daemon");
    scene.wait_for_status("waits", JobStatus::Succeeded);
    assert_eq!(scene.status("gone"), JobStatus::Crashed);
    daemon.kill();
    let _daemon = scene.daemon(1);
    let up = running_daemon(&scene.dir()).unwrap().unwrap();
    assert!(!up.safe_mode, "what was proven stays proven");
    assert_eq!(scene.json(&["startup", "detection"], 0)["safe_mode"], false);
}

#[test]
fn a_whole_recovery_by_hand_is_a_way_out() {
    let scene = after_a_crash();
    crash_loop(&scene, "locks");
    assert_eq!(scene.json(&["status"], 3)["state"], "safe_mode");
    scene.recover();
    assert_eq!(scene.json(&["startup", "detection"], 0)["safe_mode"], false);
    scene.work();
    assert_eq!(scene.witnessed("waits"), ["ran"]);
}
