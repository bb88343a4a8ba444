//! What HTTP answers is what `--json` prints, byte for byte.

use serde_json::json;

use crate::crash::scene::wait_for;
use crate::http::client::Served;

/// A path, and the command that answers it.
const SAME: &[(&str, &[&str])] = &[
    ("/api/admin/recovery/queue/status", &["queue", "status"]),
    ("/api/admin/recovery/queue/metrics", &["queue", "metrics"]),
    ("/api/admin/recovery/queue/wal-status", &["queue", "wal"]),
    ("/api/admin/recovery/jobs/metrics", &["jobs", "metrics"]),
    ("/api/admin/recovery/jobs/failed", &["jobs", "failed"]),
    ("/api/admin/recovery/jobs/failed?limit=1", &["jobs", "failed", "--limit", "1"]),
    ("/api/admin/cleanup/state", &["cleanup", "state"]),
    ("/api/admin/cleanup/queue", &["cleanup", "queue"]),
    ("/api/admin/cleanup/resuming", &["cleanup", "resuming"]),
    ("/api/admin/cleanup/completed", &["cleanup", "completed"]),
    ("/api/admin/cleanup/archive", &["cleanup", "archive", "list"]),
    ("/api/admin/startup/detection", &["startup", "detection"]),
    ("/api/admin/startup/cleanup-log", &["startup", "cleanup-log"]),
    ("/api/admin/startup/history", &["startup", "history"]),
    ("/api/admin/startup-log", &["startup", "log"]),
    ("/api/admin/locks/active", &["locks", "active"]),
    ("/api/admin/locks/recovered", &["locks", "recovered"]),
    ("/api/admin/locks/inspect", &["locks", "inspect"]),
    ("/api/admin/locks/inspect?repo=web", &["locks", "inspect", "web"]),
    ("/api/admin/orphans/candidates", &["orphans", "candidates"]),
    ("/api/admin/orphans/cleanup-log", &["orphans", "cleanup-log"]),
    ("/api/admin/recovery/status", &["status"]),
    ("/api/admin/recovery/phases", &["recovery", "phases"]),
    ("/api/admin/recovery/metrics", &["recovery", "metrics"]),
    ("/api/admin/recovery/history", &["recovery", "history"]),
    ("/api/admin/webhooks/pending", &["webhooks", "pending"]),
    ("/api/admin/webhooks/recovered", &["webhooks", "recovered"]),
    ("/api/admin/webhooks/delivery-log", &["webhooks", "log"]),
    ("/api/admin/findings", &["findings"]),
    ("/api/admin/audit", &["audit"]),
    ("/api/admin/audit?action=submit&limit=1", &["audit", "--action", "submit", "--limit", "1"]),
    ("/api/admin/why?object=job:bad", &["why", "job:bad"]),
    ("/api/admin/why?object=lock:web", &["why", "lock:web"]),
    ("/api/jobs", &["jobs", "list"]),
    ("/api/jobs?status=failed&repo=web", &["jobs", "list", "--status", "failed", "--repo", "web"]),
    ("/api/jobs/bad", &["jobs", "show", "bad"]),
    ("/api/jobs/bad/output?tail=3", &["jobs", "output", "bad", "--tail", "3"]),
    ("/healthz", &["health"]),
];

/// What tells the present moment, so that two looks differ: the members' names.
const OF_THE_MOMENT: &[(&str, &[&str])] = &[
    ("/api/admin/queue/snapshot", &["queue", "snapshot"]),
    ("/api/admin/recovery/dashboard-data", &["recovery", "dashboard"]),
    ("/api/admin/recovery/jobs/status", &["jobs", "status"]),
    ("/api/admin/recovery/jobs/sentinels", &["jobs", "sentinels"]),
];

#[test]
fn http_and_json_are_the_same_bytes() {
    let served = Served::new();
    served.submit(&json!({ "id": "bad", "command": ["sh", "-c", "echo oh; exit 1"], "repository": "web" }));
    served.submit(&json!({ "id": "good", "command": ["true"] }));
    served.wait_for("bad", "failed");
    served.wait_for("good", "succeeded");
    // The supervisor gives the repository back after the end is recorded.
    wait_for("the lock to be given back", || {
        served.get("/api/admin/locks/active").is(200).json()["total"] == 0
    });
    for (path, words) in SAME {
        let ran = served.scene.run(&[&["--json"], *words].concat());
        let answered = String::from_utf8(served.get(path).is(200).body).unwrap();
        assert_eq!(answered, ran.stdout, "{path}");
    }
    for (path, words) in OF_THE_MOMENT {
        let mut printed = served.scene.run(&[&["--json"], *words].concat()).json();
        let mut answered = served.get(path).is(200).json();
        [&mut printed, &mut answered].into_iter().for_each(without_the_moment);
        assert_eq!(answered, printed, "{path}");
    }
}

/// Takes out what differs between two looks.
fn without_the_moment(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(members) => {
            for name in ["at", "taken_at", "age_ms", "heartbeat_age_ms", "cpu_ms", "memory_bytes", "evidence"]
            {
                members.remove(name);
            }
            members.values_mut().for_each(without_the_moment);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_the_moment),
        _ => {}
    }
}
