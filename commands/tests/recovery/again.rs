//! A phase tried again: by this process, by the recovery that waits, by the daemon; and what is refused.

use serde_json::json;

use super::{Running, Stop, after_a_crash};
use crate::crash::scene::{Scene, wait_for};

/// A lock that another process holds is given up soon, and there is no second try.
const QUICK: &str = "lock_wait = \"50ms\"\n[recovery]\ntries = 1\n";

#[test]
fn only_the_phase_and_what_waits_for_it_run_again() {
    let scene = Scene::new();
    // There was no recovery yet, so nothing can be carried over.
    let rehearsed = scene.json(&["retry", "phase", "locks", "--dry-run"], 0);
    assert_eq!(
        (&rehearsed["status"], &rehearsed["outcome"]),
        (&json!("pending"), &json!(null)),
        "{rehearsed}"
    );
    let first = scene.json(&["retry", "phase", "locks"], 0);
    assert_eq!((&first["status"], &first["by"]), (&json!("succeeded"), &json!("this process")));
    let last = scene.json(&["recovery", "history"], 0);
    assert_eq!(last["recoveries"][0]["phases"].as_array().unwrap().len(), 7);

    let again = scene.json(&["retry", "phase", "jobs"], 0);
    let behind = ["locks", "webhooks", "cleanup", "orphans"];
    assert_eq!(again["waited"], json!(behind.map(|phase| json!({ "phase": phase, "status": "succeeded" }))));
    let phases = scene.json(&["recovery", "phases"], 0);
    let is_carried = |p: &&serde_json::Value| p["carried_over"] == true;
    let carried: Vec<&str> = phases["phases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(is_carried)
        .map(|p| p["phase"].as_str().unwrap())
        .collect();
    assert_eq!(carried, ["startup", "queue"]);
    let history = scene.json(&["recovery", "history"], 0);
    assert_eq!(history["recoveries"][0]["only"], json!(["jobs"]));
    let startups = scene.json(&["startup", "history"], 0);
    assert_eq!(startups["startups"][0]["retried"], json!(["jobs"]));
    assert_eq!(startups["startups"][0]["by"], "retry");
    let metrics = scene.json(&["recovery", "metrics"], 0);
    // The first one was a whole recovery.
    assert_eq!(metrics["retried_total"], 1, "{metrics}");
}

#[test]
fn what_cannot_be_tried_again_is_said() {
    let scene = Scene::new();
    let error = scene.json(&["retry", "phase", "weather"], 5)["error"].clone();
    assert_eq!(error["code"], "no-such-phase");
    assert!(error["message"].as_str().unwrap().contains("startup, queue, jobs, locks"), "{error}");
    scene.run(&["retry", "phase", "locks", "--dry-run"]).ends_with(0);
    assert_eq!(scene.json(&["recovery", "history"], 0)["total"], 0);
    // The queue cannot be read at all: its dependents cannot be tried before it.
    scene.submit("a", &[], "true");
    scene.place.write("config.toml", QUICK);
    let stop = Stop::in_phase(&scene, "queue");
    assert_eq!(scene.run(&["recover", "--json"]).ends_with(1).json()["outcome"], "failed");
    let error = scene.json(&["retry", "phase", "locks"], 12)["error"].clone();
    assert_eq!(error["code"], "phase-not-ready");
    assert!(error["hint"].as_str().unwrap().contains("recoveryctl retry phase"), "{error}");
    assert_eq!(scene.run(&["retry", "phase", "queue", "--json"]).ends_with(1).json()["status"], "failed");
    drop(stop);
    let mended = scene.json(&["retry", "phase", "queue"], 0);
    assert_eq!(
        (&mended["status"], &mended["outcome"]),
        (&json!("succeeded"), &json!("completed")),
        "{mended}"
    );
    assert_eq!(scene.run(&["--json", "status"]).json()["degraded_resources"], json!([]));
}

#[test]
fn a_phase_that_waits_for_its_next_try_is_tried_at_once() {
    let scene = after_a_crash();
    // The pauses are longer than any test waits.
    scene.place.write("config.toml", &QUICK.replace("tries = 1", "pause = \"1h\""));
    let stop = Stop::in_phase(&scene, "queue");
    let recover = Running::start(&scene, &["recover", "--json"]);
    wait_for("a try that fails", || {
        let phases = scene.json(&["recovery", "phases"], 0);
        phases["phases"][1]["message"].as_str().is_some_and(|m| m.contains("next try"))
    });
    drop(stop);
    let retried = scene.json(&["retry", "phase", "queue"], 0);
    assert_eq!((&retried["by"], &retried["attempts"]), (&json!("recovery"), &json!(2)), "{retried}");
    assert_eq!(recover.wait().0, Some(0));
}
