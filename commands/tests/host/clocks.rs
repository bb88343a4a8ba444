//! Clocks that are wrong, or are set right: nothing waits for a date of another clock, and no duration is a
//! difference of dates.

use std::process::Command;

use recovery::queue::{Actor, JobStatus, Operation, append};
use serde_json::Value;

use crate::common::{Ran, skipped_by_the_machine};
use crate::crash::scene::Scene;
use crate::monitor::deaths::codes;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A job whose claim was given back by a clock that is so many days ahead, to start a minute later.
fn paused_by_a_clock_ahead(scene: &Scene, id: &str, days: i64) {
    let now = scene.dir().clock.now();
    let ahead = now.plus_millis(days * DAY_MS);
    let document = serde_json::json!({
        "job_id": id, "status": "queued", "attempt": 1, "place": { "seq": 1 }, "submitted_at": now,
        "not_before": ahead.plus_millis(60_000),
        "course": { "history": [
            { "at": ahead, "status": "running", "attempt": 1 },
            { "at": ahead, "status": "queued", "attempt": 1, "reason": "its repository was taken" },
        ] },
        "spec": { "command": ["true"] },
    });
    let document = serde_json::from_value(document).unwrap();
    append(&scene.dir(), &Actor::default(), &[Operation::Restore { document, keeps_place: false }]).unwrap();
}

#[test]
fn pause_of_a_clock_that_was_ahead_is_told_and_over() {
    let scene = Scene::new();
    paused_by_a_clock_ahead(&scene, "ahead", 400);
    paused_by_a_clock_ahead(&scene, "usual", 0);
    let status = scene.json(&["status"], 3);
    assert_eq!(codes(&status).iter().filter(|code| *code == "clock-was-ahead").count(), 1, "{status}");
    let found = status["findings"].as_array().unwrap();
    let finding = found.iter().find(|finding| finding["code"] == "clock-was-ahead").unwrap();
    assert_eq!(finding["object"], "job:ahead");
    let next = finding["next"].as_str().unwrap().strip_prefix("recoveryctl ").unwrap();
    scene.run(&next.split(' ').collect::<Vec<_>>()).ends_with(0);
    let worked = scene.work();
    assert_eq!(worked["started"].as_array().unwrap().len(), 1, "{worked}");
    assert_eq!(scene.status("ahead"), JobStatus::Succeeded);
    assert_eq!(scene.status("usual"), JobStatus::Queued, "its minute is not over");
}

#[test]
fn job_is_known_to_live_from_another_time_namespace() {
    let scene = Scene::new();
    let probe = Command::new("unshare").args(["--time", "--boottime", "86400", "true"]).status();
    if !probe.is_ok_and(|status| status.success()) {
        return skipped_by_the_machine("no time namespace can be made here");
    }
    let _daemon = scene.daemon(1);
    scene.submit("long", &[], "echo > $W/begun; sleep 600");
    scene.wait_for_witness("begun");
    let inside = |arguments: &[&str]| {
        let own = scene.place.command();
        let mut command = Command::new("unshare");
        command.args(["--time", "--boottime", "86400", "--"]).arg(own.get_program()).args(arguments);
        command.env_clear();
        for (name, value) in own.get_envs() {
            value.map(|value| command.env(name, value));
        }
        Ran::of(&mut command)
    };
    let why: Value = inside(&["--json", "why", "job:long"]).ends_with(0).json();
    assert_eq!(why["liveness"], "alive", "{why}");
    crate::crash::scene::kill(scene.supervisor_of("long"));
    let why: Value = inside(&["--json", "why", "job:long"]).ends_with(0).json();
    assert_eq!(why["liveness"], "alive", "also without its supervisor: {why}");
}
