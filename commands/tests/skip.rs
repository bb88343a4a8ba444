//! `skip`: the next recovery skips a phase.

use crate::common::Place;
use serde_json::json;

#[test]
fn a_skip_counts_for_the_next_recovery_and_for_no_other() {
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    assert_eq!(place.run(["skip", "weather", "--json"]).ends_with(5).error()["code"], "no-such-phase");
    place.run(["skip", "weather", "--dry-run"]).ends_with(5);
    let rehearsed = place.run(["skip", "locks", "--dry-run", "--json"]).ends_with(0).json();
    assert_eq!(rehearsed, json!({"phase": "locks", "accepted": true, "was": "pending", "dry_run": true}));
    place.run(["recover"]).ends_with(0);
    assert_eq!(status_of_locks(&place), "succeeded");
    let answer = place.run(["skip", "locks", "--json", "--reason", "it hangs"]).ends_with(0).json();
    assert_eq!(answer["accepted"], true);
    place.run(["recover"]);
    assert_eq!(status_of_locks(&place), "skipped");
    place.run(["recover"]).ends_with(0);
    assert_eq!(status_of_locks(&place), "succeeded");
}

fn status_of_locks(place: &Place) -> String {
    let text = std::fs::read(place.state().join("recovery/last.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let phases = record["phases"].as_array().unwrap();
    phases.iter().find(|p| p["phase"] == "locks").unwrap()["status"].as_str().unwrap().to_owned()
}
