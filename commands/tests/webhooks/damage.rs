//! A damaged delivery log costs a duplicate at most.

use std::path::PathBuf;
use std::time::Duration;

use recovery::webhooks::record::Operation;
use recovery::webhooks::{AttemptRetention, DeliveryLog, attempts_in};

use super::office::Office;
use super::receiver::Receiver;
use crate::crash::scene::Scene;

const TEN: AttemptRetention = AttemptRetention { keep: Duration::MAX, entries: 10 };

fn segments(scene: &Scene) -> Vec<PathBuf> {
    let folder = scene.place.state().join("webhooks/log");
    let names = std::fs::read_dir(folder).unwrap().flatten().map(|e| e.path());
    let mut found: Vec<_> = names.filter(|p| p.extension().is_some_and(|e| e == "log")).collect();
    found.sort();
    found
}

/// Changes a byte in the record that holds these words.
fn flip(scene: &Scene, words: &str) {
    let path = segments(scene).pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(words.len()).position(|w| w == words.as_bytes()).unwrap();
    bytes[at + 2] ^= 1;
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn a_record_that_is_damaged_is_mended_and_its_delivery_repeated() {
    let receiver = Receiver::kind();
    let office = Office::new("");
    for name in ["first", "second"] {
        office.one(name, &receiver.url("/"));
    }
    assert_eq!(office.deliver()["delivered"], 2);
    flip(&office.scene, "\"outcome\":\"delivered\"");
    office.finds("webhook-log-damaged");
    let recovered = office.scene.recover();
    recovered.names("webhook-log-damaged");
    assert!(!office.scene.quarantined().is_empty(), "the damaged bytes are kept");
    let pending = office.json(&["webhooks", "pending"]);
    assert_eq!(
        pending["findings"].as_array().unwrap().len(),
        1,
        "it was mended; a delivery waits: {pending:#}"
    );
    office.finds("webhook-log-damaged");
    assert_eq!(office.deliver()["delivered"], 1);
    assert_eq!((receiver.count(), receiver.by_id().len()), (3, 2), "a double, with its id");
    assert!(!office.scene.recover().codes().contains(&"webhook-log-damaged".to_owned()));
}

#[test]
fn a_repair_mends_the_log_and_a_second_one_finds_nothing() {
    let receiver = Receiver::kind();
    let office = Office::new("");
    let scene = &office.scene;
    for name in ["first", "second"] {
        office.one(name, &receiver.url("/"));
    }
    assert_eq!(office.deliver()["delivered"], 2);
    assert_eq!(scene.json(&["repair", "webhooks"], 0)["before"]["problems"], 0);
    flip(scene, "\"outcome\":\"delivered\"");
    let files = || segments(scene).iter().map(|p| std::fs::read(p).unwrap()).collect::<Vec<_>>();
    let before = files();
    let rehearsed = scene.json(&["repair", "webhooks", "--dry-run"], 0);
    assert_eq!(files(), before, "a dry run changed something");
    let named = |action| rehearsed["actions"].as_array().unwrap().iter().any(|a| a["action"] == action);
    assert!(named("drop-damaged-record"), "{rehearsed:#}");
    let done = scene.json(&["repair", "all", "--reason", "test"], 0);
    let acts: Vec<_> =
        done["actions"].as_array().unwrap().iter().map(|a| (&a["action"], &a["done"])).collect();
    assert!(
        acts.iter().any(|(action, done)| **action == "drop-damaged-record" && **done == true),
        "{done:#}"
    );
    assert!(acts.iter().all(|(_, done)| **done == true), "{done:#}");
    assert_eq!(done["quarantined"].as_array().unwrap().len(), 1, "{done:#}");
    let again = scene.json(&["repair", "webhooks"], 0);
    assert_eq!((again["actions"].as_array().unwrap().len(), &again["after"]["problems"]), (0, &0.into()));
    assert_eq!(office.deliver()["delivered"], 1);
    assert_eq!((receiver.count(), receiver.by_id().len()), (3, 2), "a double, with its id");
}

#[test]
fn a_log_that_is_gone_costs_doubles_and_nothing_else() {
    let receiver = Receiver::kind();
    let office = Office::new("");
    office.one("lost", &receiver.url("/"));
    office.deliver();
    std::fs::remove_dir_all(office.scene.place.state().join("webhooks")).unwrap();
    office.scene.recover();
    assert_eq!(office.deliver()["delivered"], 1);
    assert_eq!((receiver.count(), receiver.by_id().len()), (2, 1));
}

#[test]
fn what_does_not_fit_is_told_and_what_a_later_version_wrote_is_kept() {
    let office = Office::new("");
    let dir = office.scene.dir();
    let mut log = DeliveryLog::open(&dir).unwrap();
    let id: recovery::webhooks::DeliveryId = "0192d7a0-0000-7000-8000-000000000001".parse().unwrap();
    log.append(
        &[Operation::Retry { deliveries: vec![id], endpoints: Vec::new(), by: "test".to_owned(), why: None }],
        &mut |_| {},
    )
    .unwrap();
    log.log().append(&[br#"{"v":2,"at":"2026-03-01T09:30:00.000Z","op":"dream"}"#]).unwrap();
    drop(log);
    office.finds("webhook-record-refused");
    let repaired = office.scene.json(&["repair", "webhooks"], 3);
    assert_eq!(repaired["left"][0]["reason"], "this version does not know what it says", "{repaired:#}");
    let mut log = DeliveryLog::open(&dir).unwrap();
    assert_eq!((log.problems().refused.len(), log.problems().unknown.len()), (1, 1));
    assert!(!log.compact(&|_| true, TEN).unwrap());
}

#[test]
fn a_compaction_keeps_what_is_needed_and_removes_the_rest() {
    let receiver =
        Receiver::start(|r| super::receiver::Reply::Status(if r.path == "/gone" { 410 } else { 200 }));
    let office = Office::new("per_endpoint = 8");
    let url = |name: &str| receiver.url(if name.ends_with('3') { "/gone" } else { "/" });
    office.ended((0..40).map(|n| format!("job-{n}")), &|name| recovery::queue::Callback::to(url(name)));
    assert_eq!(office.deliver()["delivered"], 36);
    let before = segments(&office.scene);
    let mut log = DeliveryLog::open(&office.scene.dir()).unwrap();
    assert!(log.compact(&|_| true, TEN).unwrap());
    assert_eq!(log.records_since_compaction(), 0);
    drop(log);
    assert!(segments(&office.scene).iter().all(|s| !before.contains(s)));
    let attempts = attempts_in(&office.scene.dir()).unwrap();
    assert_eq!(attempts.len(), 10, "the newest are kept");
    let pending = office.pending();
    assert_eq!(pending.len(), 4);
    assert!(pending.iter().all(|d| d["status"] == "parked"));
    let log = DeliveryLog::open(&office.scene.dir()).unwrap();
    assert!(!log.problems().is_damaged(), "{:?}", log.problems());
    assert_eq!(log.state().settled().len(), 36);
    drop(log);
    assert_eq!(office.deliver()["delivered"], 0);
    assert_eq!(office.scene.recover().status, 0);
}

/// With such small settings, the log neither shows more than it may, nor grows.
#[test]
fn what_is_shown_and_what_stays_follow_the_configuration() {
    let receiver = Receiver::kind();
    let office = Office::new("per_endpoint = 8\nkeep_entries = 7");
    let url = receiver.url("/");
    let batch = |name: &str, number: usize| {
        let names: Vec<String> = (0..number).map(|n| format!("{name}-{n}")).collect();
        office.ended(names.into_iter(), &|_| recovery::queue::Callback::to(&*url));
        assert_eq!(office.deliver()["delivered"], number);
    };
    let shown = || office.json(&["webhooks", "log"])["total"].clone();
    let stored = || attempts_in(&office.scene.dir()).unwrap().len();
    batch("few", 15);
    assert_eq!((shown(), stored()), (7.into(), 15), "a compaction is not worth it yet");
    batch("many", 150);
    assert_eq!(shown(), 7);
    assert!(stored() < 108, "{} attempts are in the log", stored());
    let text = "[webhooks]\nkeep = '1ms'\n";
    office.scene.place.write("config.toml", text);
    assert_eq!(shown(), 0, "they are older than that");
    assert_eq!(office.json(&["webhooks", "log", "--job", "many-3"])["total"], 0);
    assert_eq!(office.deliver()["delivered"], 0, "what has arrived is still known to have");
}
