//! Many cheap jobs when the daemon is killed: all are found in one recovery, each by the right verdict.

use std::time::Instant;

use recovery::queue::JobStatus;
use serde_json::Value;

use crate::crash::scene::{Scene, wait_for};

/// A thousand take some gigabytes and a minute: `RECOVERYCTL_LIVE_JOBS=1000` tries them.
fn how_many() -> usize {
    std::env::var("RECOVERYCTL_LIVE_JOBS").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}

#[test]
fn all_that_live_are_found_in_one_recovery() {
    let (count, scene) = (how_many(), Scene::new());
    let lines: String = (0..count)
        .map(|n| {
            let line = serde_json::json!({ "id": format!("job-{n}"), "command": ["/bin/sleep", "100000"] });
            format!("{line}\n")
        })
        .collect();
    let file = scene.place.write("jobs.jsonl", &lines);
    scene.run(&["submit", "--from", file.to_str().unwrap()]).ends_with(0);
    let daemon = scene.daemon(count);
    let is_recorded = |n: usize| scene.job_file(&format!("job-{n}"), "command.json").exists();
    let mut next = 0;
    while next < count {
        wait_for(&format!("the command of job-{next}"), || is_recorded(next));
        next += 1;
    }
    wait_for("all sentinels", || {
        (0..count).all(|n| {
            let path = scene.job_file(&format!("job-{n}"), "sentinel.json");
            std::fs::read_to_string(path).is_ok_and(|s| !s.contains("\"command\":null"))
        })
    });
    daemon.kill();
    let dead = [1, count / 2, count - 1];
    dead.iter().for_each(|n| scene.kill_all_of(&format!("job-{n}")));
    let begun = Instant::now();
    let recovered = scene.recover();
    let counts = recovered.reattachment();
    crate::common::told(&format!("{count} jobs: {} ms, in all {:?}", counts["duration_ms"], begun.elapsed()));
    assert_eq!(counts["found"], count, "{counts}");
    assert_eq!((&counts["crashed"], &counts["unknown"]), (&dead.len().into(), &0.into()), "{counts}");
    assert_eq!(counts["reattached"], count - dead.len(), "{counts}");
    for n in dead {
        assert_eq!(scene.status(&format!("job-{n}")), JobStatus::Crashed);
    }
    let status = scene.json(&["jobs", "status", "--limit", "5000"], 0);
    let alive = |j: &&Value| j["liveness"] == "alive" && j["reattached"] == true;
    assert_eq!(status["jobs"].as_array().unwrap().iter().filter(alive).count(), count - dead.len());
}
