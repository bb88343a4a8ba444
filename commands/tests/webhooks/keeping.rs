//! Jobs stay as long as a receiver must be told of their end; reports work on a state directory that cannot
//! be written.

use super::office::Office;
use super::receiver::{Receiver, Reply};
use crate::common::skipped;

fn ids(list: &serde_json::Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|j| j["job_id"].as_str().unwrap()).collect()
}

#[test]
fn a_job_is_pruned_when_its_end_was_told_and_not_before() {
    let receiver = Receiver::start(|r| Reply::Status(if r.path == "/gone" { 410 } else { 200 }));
    let office = Office::new("");
    office.one("untold", &receiver.url("/gone"));
    office.one("told", &receiver.url("/"));
    let prune = ["jobs", "prune", "--keep-days", "0"];
    let before = office.json(&prune);
    assert_eq!(
        (before["removed"].as_array().unwrap().len(), before["kept"].as_array().unwrap().len()),
        (0, 2)
    );
    assert_eq!(before["kept"][0]["code"], "job-callback-pending", "{before}");
    office.deliver();
    let after = office.json(&prune);
    assert_eq!((ids(&after["removed"]), ids(&after["kept"])), (vec!["told"], vec!["untold"]), "{after}");
    // A parked delivery is not settled; a discarded one is.
    office.scene.run(&["webhooks", "discard", "--all-parked", "--yes"]).ends_with(0);
    assert_eq!(ids(&office.json(&prune)["removed"]), ["untold"]);
    // The end of a later job with that name is delivered as well.
    office.one("told", &receiver.url("/"));
    assert_eq!(office.deliver()["delivered"], 1);
    assert_eq!(receiver.by_id().len(), 3);
}

#[test]
fn reports_are_given_of_a_disk_that_cannot_be_written() {
    if !rustix::process::geteuid().is_root() {
        return skipped("mounting needs root");
    }
    let receiver = Receiver::start(|r| Reply::Status(if r.path == "/gone" { 410 } else { 503 }));
    let office = Office::new("retry = ['300d']");
    office.one("parked", &receiver.url("/gone"));
    office.one("waits", &receiver.url("/"));
    office.deliver();
    let state = office.scene.place.state();
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\"";
    let read_only = |arguments: &[&str]| office.with_mounts(script, &state, arguments);
    let pending = read_only(&["webhooks", "pending"]);
    if pending.status == 77 {
        return skipped("no mounts here");
    }
    let pending = pending.ends_with(0).json();
    assert_eq!(pending["total"], 2, "{pending}");
    let log = read_only(&["webhooks", "log"]).ends_with(0).json();
    assert_eq!(log["total"], 2, "{log}");
    read_only(&["webhooks", "recovered"]).ends_with(0);
    assert!(read_only(&["webhooks", "test", &receiver.url("/gone"), "--dry-run"]).status == 0);
    assert_eq!(
        read_only(&["webhooks", "test", &receiver.url("/gone")]).ends_with(1).json()["status_code"],
        410
    );
    // A command that must write says that it cannot.
    let refused = read_only(&["retry", "webhook", "--all-parked"]);
    assert_eq!(refused.status, 1, "{refused:?}");
    let refused = read_only(&["webhooks", "deliver", "--once"]);
    assert!(refused.status == 1 && refused.stdout.contains("ead-only"), "{refused:?}");
    assert_eq!(receiver.requests().iter().filter(|r| r.path == "/").count(), 1, "nothing is sent unrecorded");
}
