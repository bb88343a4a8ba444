//! `status`, and the other reports about past recoveries.
#![allow(clippy::disallowed_methods)]

use std::fs;

use crate::common::{Place, Ran};
use serde_json::{Value, json};

fn recovered() -> Place {
    let place = Place::new();
    place.run(["submit", "--id", "a", "--", "true"]).ends_with(0);
    place.run(["work", "--once"]).ends_with(0);
    place.run(["recover"]).ends_with(0);
    place
}

fn status(place: &Place, exit: i32) -> Value {
    place.run(["status", "--json"]).ends_with(exit).json()
}

#[test]
fn a_damaged_record_of_recoveries_costs_only_itself() {
    for file in ["last.json", "history.json"] {
        let place = recovered();
        let path = place.state().join("recovery").join(file);
        assert!(path.exists(), "{file}");
        fs::write(&path, "{\"half").unwrap();
        for words in ["jobs status", "jobs metrics", "locks recovered", "queue status", "queue metrics"] {
            let ran = place.run(words.split(' ').chain(["--json"])).ends_with(0);
            assert!(ran.json().is_object(), "{words}");
        }
        let status = status(&place, 3);
        let codes: Vec<&Value> = status["findings"].as_array().unwrap().iter().map(|f| &f["code"]).collect();
        assert_eq!(codes, ["recovery-history-damaged"], "{file}: {status}");
        assert_eq!(status["findings"][0]["object"], format!("file:{}", path.display()));
        assert_eq!(status["action"], "recoveryctl recover");
    }
}

#[test]
fn a_recovery_that_did_not_end_well_is_no_health() {
    let place = recovered();
    assert_eq!(status(&place, 0)["state"], "healthy");
    let path = place.state().join("recovery/current.json");
    let mut current: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    current["recovery_id"] = json!("01900000-0000-7000-8000-000000000000");
    for (left, shown) in
        [("failed", "failed"), ("cancelled", "cancelled"), ("aborted", "aborted"), ("running", "aborted")]
    {
        current["outcome"] = json!(left);
        fs::write(&path, current.to_string()).unwrap();
        let status = status(&place, 3);
        assert_eq!((&status["state"], &status["recovery"]["outcome"]), (&json!("degraded"), &json!(shown)));
        assert!(status["status"].as_str().unwrap().contains(shown), "{status}");
        assert_eq!(status["action"], "recoveryctl recover");
        assert_eq!(status["reasons"][0]["code"], "recovery-unfinished", "{status:#}");
        let health = place.run(["health", "--json"]).ends_with(3).json();
        assert_eq!((&health["healthy"], &health["state"]), (&json!(false), &json!("degraded")));
        place.run(["health", "--nagios"]).ends_with(1);
    }
    place.run(["recover"]).ends_with(0);
    assert_eq!(status(&place, 0)["state"], "healthy");
    assert_eq!(place.run(["health", "--json"]).ends_with(0).json()["healthy"], true);
}

/// The status names what the last recovery called unusable and no other source reports.
#[test]
fn what_was_left_unusable_is_told_with_a_way_out() {
    let place = recovered();
    let path = place.state().join("recovery/last.json");
    let mut last: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    last["phases"][5]["degraded_resources"] = json!([{"object": "engine:none", "why": "it does not answer"}]);
    fs::write(&path, last.to_string()).unwrap();
    let status = status(&place, 3);
    let reason = &status["reasons"][0];
    assert_eq!(
        (&status["state"], &reason["code"]),
        (&json!("degraded"), &json!("resource-unusable")),
        "{status:#}"
    );
    assert_eq!((&reason["object"], &reason["next"]), (&json!("engine:none"), &json!("recoveryctl recover")));
}

/// This holds whether the cleanup is tried again by itself or not.
#[test]
fn a_cleanup_that_cannot_keep_git_work_is_degraded_while_it_waits_and_when_it_is_parked() {
    for (tries, code) in [("9", "cleanup-waiting"), ("1", "cleanup-parked")] {
        let place = Place::new();
        let script = "git init -q . && echo work > file";
        place.run(["submit", "--id", "one", "--auto-cleanup", "--", "sh", "-c", script]).ends_with(0);
        place.run(["work", "--once"]).ends_with(0);
        // Archives cannot be written.
        let archives = place.state().join("cleanup/archive");
        std::fs::write(&archives, "").unwrap();
        Ran::of(place.command().env("RECOVERYCTL_CLEANUP_TRIES", tries).args(["cleanup", "run"]));
        let status = place.run(["status", "--json"]).ends_with(3).json();
        assert_eq!(status["state"], "degraded", "{status:#}");
        assert_eq!(status["degraded_resources"][0]["object"], "cleanup:one.1", "{status:#}");
        let finding = &status["findings"][0];
        assert_eq!((&finding["code"], &finding["severity"]), (&code.into(), &"error".into()), "{status:#}");
    }
}

/// A cleanup that is not tried again by itself is reported until it is over.
#[test]
fn a_parked_cleanup_is_told_until_it_is_over() {
    let place = Place::new();
    let mut tool = place.command();
    tool.env("RECOVERYCTL_CLEANUP_INDEX_COMMAND", "false").env("RECOVERYCTL_CLEANUP_TRIES", "1");
    place.run(["submit", "--id", "one", "--auto-cleanup", "--", "mkdir", ".code-indexer"]).ends_with(0);
    place.run(["work", "--once"]).ends_with(0);
    Ran::of(tool.args(["cleanup", "run"])).ends_with(3);
    let status = place.run(["status", "--json"]).json();
    assert!(status["status"].as_str().unwrap().contains("parked cleanup waits"), "{status:#}");
    assert_eq!(status["action"], "recoveryctl retry cleanup one.1", "{status:#}");
    let found = place.run(["findings", "--json"]).json();
    assert_eq!(found["findings"][0]["code"], "cleanup-parked", "{found:#}");
    place.run(["cleanup", "skip", "one.1", "cidx", "--reason", "no tool"]).ends_with(0);
    place.run(["cleanup", "run"]).ends_with(0);
    let status = place.run(["status", "--json"]).json();
    assert_eq!(
        (&status["status"], &status["findings"]),
        (&"all is well".into(), &serde_json::json!([])),
        "{status:#}"
    );
}
