//! `queue status|metrics|snapshot|wal`.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::PathBuf;

use crate::common::Place;
use serde_json::{Value, json};

fn submit(place: &Place, id: &str, priority: &str) {
    place.run(["submit", "--id", id, "--priority", priority, "--", "true"]).ends_with(0);
}

fn queue(place: &Place, word: &str, status: i32) -> Value {
    place.run(["queue", word, "--json"]).ends_with(status).json()
}

fn segment(place: &Place) -> PathBuf {
    let names = fs::read_dir(place.state().join("queue/log")).unwrap().map(|e| e.unwrap().path());
    names.filter(|p| p.extension().is_some_and(|e| e == "log")).min().unwrap()
}

#[test]
fn without_a_state_directory_nothing_is_made() {
    let place = Place::new();
    for word in ["status", "metrics", "snapshot", "wal"] {
        place.run(["queue", word]).ends_with(10);
        assert_eq!(place.run(["queue", word, "--json"]).ends_with(10).error()["code"], "no-state-directory");
    }
    assert!(!place.state().exists());
}

#[test]
fn the_head_of_the_line_is_by_priority_then_by_order() {
    let place = Place::new();
    for (id, priority) in [("a", "0"), ("b", "-1"), ("c", "7"), ("d", "7")] {
        submit(&place, id, priority);
    }
    let status = queue(&place, "status", 0);
    let head: Vec<(&Value, &Value)> =
        status["head"].as_array().unwrap().iter().map(|w| (&w["position"], &w["job_id"])).collect();
    let expected = [(1, "c"), (2, "d"), (3, "a"), (4, "b")].map(|(n, id)| (json!(n), json!(id)));
    assert_eq!(head, expected.iter().map(|(n, id)| (n, id)).collect::<Vec<_>>());
    assert_eq!(
        (&status["state"], &status["depth"], &status["last_seq"]),
        (&json!("healthy"), &json!(4), &json!(4))
    );
    assert_eq!(status["counts"]["queued"], 4);
    assert_eq!(status["recovered"]["method"], "fresh");
    assert_eq!(status["findings"], json!([]));
    let text = place.run(["queue", "status"]).ends_with(0).stdout;
    assert!(
        text.starts_with("the queue's files are healthy\n") && text.contains("no recovery yet"),
        "{text}"
    );
}

#[test]
fn a_recovery_is_told_and_counted() {
    let place = Place::new();
    submit(&place, "a", "0");
    submit(&place, "b", "0");
    assert_eq!(queue(&place, "status", 0)["recovered"]["at"], Value::Null);
    assert!(place.run(["queue", "status"]).ends_with(0).stdout.contains("no recovery yet"));
    place.run(["recover"]).ends_with(0);
    let recovered = queue(&place, "status", 0)["recovered"].clone();
    assert!(recovered["at"].is_string(), "{recovered}");
    assert_eq!((&recovered["method"], &recovered["records_replayed"]), (&json!("log"), &json!(2)));
    let metrics = queue(&place, "metrics", 0);
    assert_eq!((&metrics["recoveries_total"], &metrics["records_replayed_total"]), (&json!(1), &json!(2)));
    place.run(["recover"]).ends_with(0);
    assert_eq!(queue(&place, "metrics", 0)["recoveries_total"], 2);
}

#[test]
fn metrics_count_what_happened() {
    let place = Place::new();
    for id in ["a", "b", "c"] {
        submit(&place, id, "0");
    }
    place.run(["jobs", "cancel", "c"]).ends_with(0);
    place.run(["work", "--once"]).ends_with(0);
    let metrics = queue(&place, "metrics", 0);
    for (counter, expected) in [("enqueued_total", 3), ("started_total", 2), ("requeued_total", 0)] {
        assert_eq!(metrics[counter], expected, "{counter}");
    }
    assert_eq!(
        (&metrics["finished_total"]["succeeded"], &metrics["finished_total"]["cancelled"]),
        (&json!(2), &json!(1))
    );
    for times in ["wait_ms", "run_ms"] {
        assert!(metrics[times]["p50"].is_u64() && metrics[times]["p99"].is_u64(), "{metrics}");
    }
    assert!(place.run(["queue", "metrics"]).ends_with(0).stdout.contains("enqueued"));
}

#[test]
fn the_snapshot_is_in_queue_order_and_paged() {
    let place = Place::new();
    for (id, priority) in [("over", "9"), ("low", "0"), ("high", "5")] {
        submit(&place, id, priority);
    }
    place.run(["jobs", "cancel", "over"]).ends_with(0);
    let first = place.run(["queue", "snapshot", "--json", "--limit", "2"]).ends_with(0).json();
    let ids = |page: &Value| -> Vec<Value> {
        page["jobs"].as_array().unwrap().iter().map(|j| j["job_id"].clone()).collect()
    };
    assert_eq!(ids(&first), ["high", "low"]);
    assert_eq!(
        (&first["jobs"][1]["position"], &first["total"], &first["seq"]),
        (&json!(2), &json!(3), &json!(4))
    );
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = place.run(["queue", "snapshot", "--json", "--cursor", cursor]).ends_with(0).json();
    assert_eq!((ids(&second), &second["next_cursor"]), (vec![json!("over")], &Value::Null));
    place.run(["queue", "snapshot", "--cursor", "nonsense"]).ends_with(2);
}

#[test]
fn the_log_is_told_segment_by_segment() {
    let place = Place::new();
    submit(&place, "a", "0");
    submit(&place, "b", "0");
    let wal = queue(&place, "wal", 0);
    assert_eq!(wal["segments"].as_array().unwrap().len(), 1);
    let segment = &wal["segments"][0];
    assert_eq!(
        (&segment["first_seq"], &segment["last_seq"], &segment["records"]),
        (&json!(1), &json!(2), &json!(2))
    );
    assert_eq!(
        (&wal["last_seq"], &wal["damaged_records"], &wal["torn_bytes"]),
        (&json!(2), &json!(0), &json!(0))
    );
    assert!(place.run(["queue", "wal"]).ends_with(0).stdout.starts_with("CLEAN\n"));
}

#[test]
fn damage_is_told_until_it_is_mended() {
    let place = Place::new();
    for id in ["a", "b", "c"] {
        submit(&place, id, "0");
    }
    let path = segment(&place);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(10).position(|w| w == b"\"job\":\"b\",").unwrap();
    bytes[at + 7] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let wal = queue(&place, "wal", 3);
    assert_eq!(wal["damaged_records"], 1);
    let status = queue(&place, "status", 3);
    assert_eq!(status["state"], "damaged");
    let codes: Vec<&Value> = status["findings"].as_array().unwrap().iter().map(|f| &f["code"]).collect();
    assert!(codes.contains(&&json!("log-record-damaged")), "{codes:?}");
    assert!(place.run(["queue", "status"]).ends_with(3).stdout.contains("next: recoveryctl recover"));
    place.run(["recover"]).ends_with(3);
    assert_eq!(queue(&place, "wal", 0)["damaged_records"], 0);
    let after = queue(&place, "status", 0);
    assert_eq!((&after["state"], &after["recovered"]["records_damaged"]), (&json!("healthy"), &json!(1)));
    assert_eq!(queue(&place, "metrics", 0)["records_damaged_total"], 1);
}

#[test]
fn segments_have_the_configured_size() {
    let place = Place::new();
    place.write("config.toml", "[queue]\nsegment_bytes = '4KiB'\n");
    let line = |n: usize| format!("{{\"command\":[\"true\"],\"id\":\"job-{n}\",\"title\":\"{n:0>100}\"}}\n");
    let input = place.write("jobs", &(0..60).map(line).collect::<String>());
    place.run(["submit".as_ref(), "--from".as_ref(), input.as_os_str()]).ends_with(0);
    place.run(["work", "--once"]).ends_with(0);
    let wal = queue(&place, "wal", 0);
    let segments = wal["segments"].as_array().unwrap();
    assert!(segments.len() > 4, "{wal}");
    // Supervisors write there too, and with the same size.
    assert!(segments.iter().all(|s| s["bytes"].as_u64().unwrap() <= 4096), "{wal}");
    assert_eq!(queue(&place, "status", 0)["counts"]["succeeded"], 60);
}
