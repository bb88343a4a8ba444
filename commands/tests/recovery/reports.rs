//! The reports on startups and recoveries have at least the members that are promised.

use serde_json::{Value, json};

use super::{after_a_crash, crash_loop};
use crate::crash::scene::Scene;

#[track_caller]
fn has(document: &Value, members: &[&str]) {
    for member in members {
        assert!(document.get(member).is_some(), "{member} is missing: {document:#}");
    }
}

#[test]
fn every_promised_member_is_there() {
    let scene = Scene::new();
    let before = scene.json(&["recovery", "phases"], 0);
    assert_eq!((&before["recovery_id"], before["phases"].as_array().unwrap().len()), (&json!(null), 7));
    assert_eq!(scene.json(&["startup", "log"], 0), json!({ "startup": null, "before": [] }));
    scene.submit("done", &[], "true");
    scene.work();
    std::fs::write(scene.dir().paths.jobs().join(".tmp-aB3dE9"), "half").unwrap();
    scene.recover();
    scene.recover();

    let status = scene.json(&["recovery", "status"], 0);
    has(&status, &["state", "status", "action", "recovery", "degraded_resources", "counts", "findings"]);
    let members = ["recovery_id", "outcome", "started_at", "duration_ms", "phases_done", "phases_total"];
    has(&status["recovery"], &members);
    let phases = scene.json(&["recovery", "phases"], 0);
    for phase in phases["phases"].as_array().unwrap() {
        let members = ["phase", "depends_on", "critical", "status", "done", "total", "unit", "attempts"];
        has(phase, &members);
        has(phase, &["started_at", "duration_ms", "message", "findings", "remaining_ms"]);
    }
    let metrics = scene.json(&["recovery", "metrics"], 0);
    has(&metrics, &["recoveries_total", "last_duration_ms", "mean_duration_ms", "phase_duration_ms"]);
    has(&metrics, &["degraded_total", "skipped_total", "retried_total"]);
    has(&metrics["phase_duration_ms"]["queue"], &["last", "mean", "max"]);
    // One by `work`, two by hand.
    assert_eq!(metrics["recoveries_total"]["completed"], 3, "{metrics}");
    let dashboard = scene.json(&["recovery", "dashboard"], 0);
    has(
        &dashboard,
        &["status", "phases", "queue", "jobs", "locks", "cleanup", "orphans", "webhooks", "startup"],
    );
    assert_eq!(dashboard["status"]["counts"], dashboard["queue"]["counts"]);
    assert_eq!(dashboard["phases"]["recovery_id"], dashboard["status"]["recovery"]["recovery_id"]);
    let history = scene.json(&["recovery", "history", "--limit", "2"], 0);
    assert_eq!((&history["total"], history["recoveries"].as_array().unwrap().len()), (&json!(3), 2));
    let rest = scene.json(&["recovery", "history", "--cursor", history["next_cursor"].as_str().unwrap()], 0);
    assert_eq!((rest["recoveries"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &json!(null)));

    let log = scene.json(&["startup", "cleanup-log"], 0);
    has(&log["entries"][0], &["at", "startup_id", "action", "object", "result", "detail"]);
    assert_eq!((&log["total"], &log["entries"][0]["object"]), (&json!(1), &json!("jobs/.tmp-aB3dE9")));
    let history = scene.json(&["startup", "history"], 0);
    let members = ["startup_id", "started_at", "ended_at", "outcome", "phase", "phases_done", "duration_ms"];
    has(&history["startups"][0], &members);
    has(&history["startups"][0], &["findings_total"]);
    let detection = scene.json(&["startup", "detection"], 0);
    has(&detection, &["aborted", "previous", "current", "consecutive_aborts", "safe_mode"]);
    has(&detection["previous"], &["startup_id", "started_at", "phase", "phases_done", "outcome"]);
    let log = scene.json(&["startup", "log"], 0);
    let mut told: Vec<&str> = log["startup"]["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["phase"].as_str().unwrap())
        .collect();
    // Phases run side by side.
    told[3..].sort_unstable();
    assert_eq!(told, ["startup", "queue", "jobs", "cleanup", "locks", "orphans", "webhooks"]);
    assert_eq!(log["before"].as_array().unwrap().len(), 2);
    assert_eq!(log["before"][0]["operations"][1]["status"], "succeeded", "{log:#}");
}

#[test]
fn the_texts_tell_the_same() {
    let scene = after_a_crash();
    crash_loop(&scene, "jobs");
    scene.recover();
    for (words, wanted) in [
        ("startup detection", "cut short"),
        ("startup history", "aborted"),
        ("startup log", "aborted in phase jobs"),
        ("recovery phases", "succeeded"),
        ("recovery metrics", "3 aborted"),
        ("recovery history", "aborted"),
        ("recovery dashboard", "waiting jobs"),
        ("recovery status", "UNWATCHED"),
    ] {
        let ran = scene.run(&words.split(' ').collect::<Vec<_>>());
        assert!(matches!(ran.status, 0 | 3), "{words}: {}", ran.stderr);
        assert!(ran.stdout.contains(wanted), "{words}: {}", ran.stdout);
    }
}

/// A lock that nobody can judge, of another machine, is named after the recovery as well, by everything that reports.
#[test]
fn what_cannot_be_judged_stays_named_until_it_is_given_back() {
    let scene = Scene::new();
    // It kills its parent, which holds the lock.
    scene.place.command().args(["lock", "web", "--", "sh", "-c", "kill -9 $PPID"]).output().unwrap();
    let metadata = scene.dir().paths.locks().join("web.lock.json");
    from_elsewhere(&metadata);
    let recovered = scene.recover();
    assert_eq!(recovered.document["outcome"], "degraded", "{:#}", recovered.document);
    let named =
        |of: &Value| of["degraded_resources"].as_array().unwrap().iter().any(|r| r["object"] == "lock:web");
    let status = scene.json(&["status"], 3);
    assert!(named(&status), "{status:#}");
    assert!(status["findings"].as_array().unwrap().iter().any(|f| f["object"] == "lock:web"), "{status:#}");
    // Skipping the phase proves nothing.
    scene.json(&["skip", "locks"], 0);
    let skipped = scene.recover();
    assert_eq!(skipped.document["outcome"], "degraded", "{:#}", skipped.document);
    assert!(named(&scene.json(&["status"], 3)));
    scene.json(&["release", "web", "--force", "--yes"], 0);
    let status = scene.json(&["status"], 0);
    assert!(!named(&status), "{status:#}");
    scene.recover();
    assert_eq!(scene.json(&["status"], 0)["state"], "healthy");
}

/// Says that a document was written on another machine.
fn from_elsewhere(path: &std::path::Path) {
    let mut document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for member in ["boot_id", "machine_id"] {
        document["host"][member] = "11111111-1111-1111-1111-111111111111".into();
    }
    document["host"]["host"] = "elsewhere".into();
    if document.get("checksum").is_some() {
        document["boot_id"] = document["host"]["boot_id"].clone();
    }
    // Metadata with white space was written by a person, and needs no checksum.
    std::fs::write(path, serde_json::to_string_pretty(&document).unwrap()).unwrap();
}

#[test]
fn a_recovery_that_died_on_another_machine_is_not_under_way() {
    let scene = Scene::new();
    scene.recover();
    let current = scene.dir().paths.recovery_current();
    from_elsewhere(&current);
    let mut snapshot: Value = serde_json::from_slice(&std::fs::read(&current).unwrap()).unwrap();
    snapshot["outcome"] = "running".into();
    snapshot["recovery_id"] = "01900000-0000-7000-8000-000000000000".into();
    std::fs::write(&current, snapshot.to_string()).unwrap();
    let status = scene.json(&["status"], 3);
    assert_eq!(
        (&status["state"], &status["recovery"]["outcome"]),
        (&"degraded".into(), &"aborted".into()),
        "{status:#}"
    );
}
