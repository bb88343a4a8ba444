//! What an operator can do: look, try again, give up, test, deliver from cron.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::office::{Office, SECRET};
use super::receiver::{Receiver, Reply};
use crate::crash::scene::wait_for;

/// Makes a receiver that answers 410 until it is repaired.
fn broken() -> (Receiver, Arc<AtomicBool>) {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = mended.clone();
    let status = move || if is_mended.load(Ordering::SeqCst) { 200 } else { 410 };
    (Receiver::start(move |_| Reply::Status(status())), mended)
}

#[test]
fn a_parked_delivery_goes_out_when_it_is_asked_for_daemon_or_not() {
    let (receiver, mended) = broken();
    let office = Office::new("");
    for name in ["one", "two", "three"] {
        office.one(name, &receiver.url("/"));
    }
    let daemon = office.scene.daemon(1);
    for name in ["one", "two", "three"] {
        office.wait_for_outcomes(name, &["parked"]);
    }
    let id = office.delivery("one")["delivery_id"].as_str().unwrap().to_owned();
    let rehearsed = office.json(&["retry", "webhook", &id, "--dry-run"]);
    assert_eq!((&rehearsed["retried"][0]["job_id"], &rehearsed["dry_run"]), (&"one".into(), &true.into()));
    assert_eq!(office.delivery("one")["status"], "parked");
    mended.store(true, Ordering::SeqCst);
    let retried = office.json(&["retry", "webhook", &id, "--reason", "mended"]);
    assert_eq!(retried["retried"][0]["delivery_id"], id);
    office.wait_for_outcomes("one", &["parked", "delivered"]);
    let again = office.scene.json(&["retry", "webhook", &id], 3);
    assert_eq!(again["refused"][0]["code"], "delivery-settled");
    daemon.kill();

    assert_eq!(office.json(&["retry", "webhook", "--all-parked"])["retried"].as_array().unwrap().len(), 2);
    assert_eq!(office.deliver()["delivered"], 2);
    assert_eq!(office.outcomes("three"), ["parked", "delivered"]);
    assert_eq!(
        office.scene.json(&["retry", "webhook", "nonsense"], 5)["refused"][0]["code"],
        "no-such-delivery"
    );
    assert_eq!(office.json(&["retry", "webhook", "--all"])["retried"], serde_json::json!([]));
    let trail = recovery::audit::read(&office.scene.dir()).unwrap();
    let entry = trail.entries.iter().map(|(_, e)| e).find(|e| e.action == "retry").unwrap();
    assert_eq!((entry.why.as_deref(), entry.object.to_string()), (Some("mended"), format!("webhook:{id}")));
    let of_it = office.json(&["audit", "--object", &format!("webhook:{id}")]);
    assert_eq!(of_it["entries"].as_array().unwrap().len(), 1, "{of_it}");
}

#[test]
fn a_delivery_that_is_given_up_is_never_sent() {
    let (receiver, mended) = broken();
    let office = Office::new("");
    office.one("tried", &receiver.url("/"));
    office.deliver();
    office.one("untried", &receiver.url("/"));
    let untried = office.delivery("untried")["delivery_id"].as_str().unwrap().to_owned();
    assert_eq!(office.scene.run(&["webhooks", "discard", "--all-parked"]).status, 16, "it asks");
    office.scene.run(&["webhooks", "discard", "--all-parked", "--yes"]).ends_with(0);
    office.scene.run(&["webhooks", "discard", &untried]).ends_with(0);
    mended.store(true, Ordering::SeqCst);
    assert_eq!(office.deliver()["delivered"], 0);
    assert_eq!(receiver.count(), 1);
    assert!(office.pending().is_empty());
}

#[test]
fn nobody_delivers_is_a_finding_and_two_do_not_deliver_at_once() {
    let receiver = Receiver::start(|_| Reply::Hang);
    let office = Office::new("");
    office.one("waits", &receiver.url("/"));
    office.finds("webhook-nobody-delivers");
    let status = office.scene.run(&["--json", "status"]).json();
    assert_eq!(status["webhooks"]["pending"], 1);
    let _daemon = office.scene.daemon(1);
    wait_for("the attempt", || receiver.count() == 1);
    assert!(office.findings().iter().all(|(code, _)| code != "webhook-nobody-delivers"));
    let refused = office.scene.run(&["--json", "webhooks", "deliver", "--once"]).ends_with(11).error();
    assert_eq!(refused["code"], "somebody-delivers");
}

#[test]
fn a_test_delivery_tells_what_a_receiver_says_and_records_nothing() {
    let receiver = Receiver::start(|r| Reply::Status(if r.path == "/no" { 404 } else { 200 }));
    let office = Office::new("deny = ['127.9.0.0/16']");
    let sent = office.json(&["webhooks", "test", &receiver.url("/yes")]);
    assert_eq!(
        (&sent["delivered"], &sent["status_code"], &sent["signed"]),
        (&true.into(), &200.into(), &true.into())
    );
    let request = &receiver.requests()[0];
    standardwebhooks::Webhook::new(SECRET).unwrap().verify(&request.body, &request.headers).unwrap();
    let refused = office.scene.json(&["webhooks", "test", &receiver.url("/no")], 1);
    assert_eq!((&refused["outcome"], &refused["status_code"]), (&"parked".into(), &404.into()));
    let denied = office.scene.json(&["webhooks", "test", "http://127.9.9.9/"], 12);
    assert_eq!(denied["outcome"], "refused");
    office.scene.run(&["webhooks", "test", "ftp://x"]).ends_with(2);
    office.json(&["webhooks", "test", &receiver.url("/dry"), "--dry-run"]);
    assert_eq!(receiver.count(), 2);
    assert_eq!(office.json(&["webhooks", "log"])["total"], 0);
}

#[test]
fn lists_come_in_pages() {
    let (receiver, _) = broken();
    let office = Office::new("per_endpoint = 8");
    office.ended((0..7).map(|n| format!("job-{n}")), &|_| recovery::queue::Callback::to(receiver.url("/")));
    office.deliver();
    for (words, list) in [(&["webhooks", "pending"][..], "deliveries"), (&["webhooks", "log"], "entries")] {
        let first = office.json(&[words, &["--limit", "3"]].concat());
        assert_eq!((first[list].as_array().unwrap().len(), &first["total"]), (3, &7.into()));
        let cursor = first["next_cursor"].as_str().unwrap();
        let rest = office.json(&[words, &["--cursor", cursor]].concat());
        assert_eq!(
            (rest[list].as_array().unwrap().len(), &rest["next_cursor"]),
            (4, &serde_json::Value::Null)
        );
    }
    assert_eq!(office.json(&["webhooks", "pending", "--status", "waiting"])["total"], 0);
    assert_eq!(office.json(&["webhooks", "pending", "--status", "parked"])["total"], 7);
}

#[test]
fn the_audit_trail_names_twenty_and_counts_the_others() {
    let (receiver, _) = broken();
    let office = Office::new("per_endpoint = 8");
    office.ended((0..23).map(|n| format!("job-{n}")), &|_| recovery::queue::Callback::to(receiver.url("/")));
    office.deliver();
    office.scene.run(&["webhooks", "discard", "--all-parked", "--yes"]).ends_with(0);
    let trail = recovery::audit::read(&office.scene.dir()).unwrap();
    let discards = trail.entries.iter().map(|(_, e)| e).filter(|e| e.action == "discard");
    let objects: Vec<String> = discards.map(|e| e.object.to_string()).collect();
    assert_eq!(objects.iter().filter(|o| o.starts_with("webhook:")).count(), 20);
    assert_eq!(objects[20..], ["webhooks:3"]);
}

/// What an open circuit says about the next attempt is true now: a future time, or that nothing waits.
#[test]
fn an_open_circuit_names_no_time_that_has_passed() {
    let down = Receiver::start(|_| Reply::Status(500));
    let office =
        Office::new("retry = []\nbreaker_failures = 1\nbreaker_pause = '1h'\nbreaker_pause_max = '1h'");
    let said = || {
        let pending = office.json(&["webhooks", "pending"]);
        let findings = pending["findings"].as_array().unwrap();
        let open = findings.iter().find(|f| f["code"] == "webhook-circuit-open").unwrap();
        open["sentence"].as_str().unwrap().to_owned()
    };
    office.one("parked", &down.url("/"));
    assert_eq!(office.deliver()["parked"], 1);
    assert!(said().contains("no delivery waits for it"), "{}", said());
    office.one("waits", &down.url("/"));
    assert!(said().contains("the next comes at"), "{}", said());
    // An operator requests the parked one, and no process delivers.
    office.scene.run(&["retry", "webhook", "--all-parked"]).ends_with(0);
    assert!(said().contains("as soon as a process delivers"), "{}", said());
}

#[test]
fn wrong_settings_name_the_place() {
    let office = Office::new("");
    for (text, message) in [
        ("[webhooks]\nallow = ['10.0.0.0/33']", "config.toml:2: webhooks.allow must be"),
        ("[webhooks]\nsecrets = ['hunter2']", "config.toml:2: webhooks.secrets must be"),
        ("[[webhooks.endpoints]]\nname = 'a'\nurl = 'ftp://x'", "the endpoint 'a'"),
        (
            "[[webhooks.endpoints]]\nname = 'a'\nurl = 'http://x'\nevents = ['job.done']",
            "no event 'job.done'",
        ),
        ("[webhooks]\nsecrets = ['file:/nowhere']", "/nowhere"),
        ("[webhooks]\nbreaker_pause_max = '1s'", "breaker_pause_max contradicts"),
    ] {
        office.scene.place.write("config.toml", text);
        let error = office.scene.run(&["--json", "config", "check"]).ends_with(2).error();
        let said = error["message"].as_str().unwrap();
        assert!(said.contains(message) && !said.contains("hunter2"), "{said}");
    }
}
