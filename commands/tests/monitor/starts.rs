//! A supervisor that cannot start is started again after growing pauses, and not for ever.

use recovery::queue::{Actor, JobStatus, Operation, append};
use serde_json::json;

use super::deaths::codes;
use crate::crash::scene::{Scene, wait_for};

/// A queued job whose spec no supervisor of this version can understand.
fn queue_what_cannot_start(scene: &Scene, id: &str) {
    let at = "2026-03-01T09:30:00.000Z";
    let document = json!({ "job_id": id, "status": "queued", "attempt": 1, "place": { "seq": 1 },
        "submitted_at": at, "spec": { "command": "a list is wanted here" } });
    let document = serde_json::from_value(document).unwrap();
    let restore = Operation::Restore { document, keeps_place: false };
    append(&scene.dir(), &Actor::default(), &[restore]).unwrap();
}

#[test]
fn after_so_many_failed_starts_a_job_waits_for_an_operator() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[jobs]\nstart_tries = 4\n");
    let _daemon = scene.daemon(2);
    queue_what_cannot_start(&scene, "wrong");
    scene.submit("right", &[], "true");
    wait_for("a finding", || codes(&scene.json(&["status"], 0)).contains(&"job-start-failing".to_owned()));
    // Between two starts it waits for its turn.
    wait_for("the reason", || {
        let why = scene.json(&["why", "job:wrong"], 0);
        why["because"].as_str().unwrap().contains("cannot be understood")
    });
    scene.wait_for_status("wrong", JobStatus::Crashed);
    let status = scene.json(&["status"], 3);
    assert!(codes(&status).contains(&"job-not-started".to_owned()), "{status}");
    assert!(!codes(&status).contains(&"job-crashed".to_owned()), "one finding says it: {status}");
    let job = scene.job("wrong");
    assert_eq!(job.run_state().failed_starts, 4);
    assert!(job.run_state().reason.as_ref().unwrap().contains("4 times in a row"), "{job:?}");
    let claims = job.run_state().history.iter().filter(|t| t.status == JobStatus::Running);
    let at: Vec<_> = claims.map(|t| t.at).collect();
    assert_eq!(at.len(), 4);
    let pauses: Vec<i64> = at.windows(2).map(|w| w[1].millis_since(w[0])).collect();
    assert!(pauses[1] >= 1_000 && pauses[2] >= 2_000, "{pauses:?}");
    scene.wait_for_status("right", JobStatus::Succeeded);
    // An operator may try again, from the same attempt.
    scene.json(&["resume", "wrong"], 0);
    wait_for("another start", || scene.job("wrong").run_state().failed_starts > 0);
    assert_eq!(scene.job("wrong").attempt, 1);
}
