//! `lock`, `locks` and `release`.
#![allow(clippy::disallowed_methods)]

use std::fs;

use crate::common::{Background, Foreign, Place, until};
use serde_json::{Value, json};

/// The lock of `web`, held by a command that runs until it is killed.
struct Held {
    place: Place,
    lock: Background,
    command: Foreign,
}

impl Held {
    fn new() -> Held {
        let place = Place::new();
        let script = "echo $$ > pid.new; mv pid.new pid; exec sleep 600";
        let lock = Background::start(place.command().args(["lock", "web", "--", "sh", "-c", script]));
        until("the command runs", || place.path("pid").exists());
        let pid = fs::read_to_string(place.path("pid")).unwrap().trim().parse().unwrap();
        Held { command: Foreign::of(pid), place, lock }
    }

    fn crash(&mut self) {
        self.lock.kill();
        self.command.kill();
    }

    fn inspect(&self) -> Value {
        self.place.run(["locks", "inspect", "web", "--json"]).ends_with(0).json()["locks"][0].clone()
    }

    /// What is in the audit trail, entry by entry.
    fn audit(&self) -> Vec<Value> {
        let mut entries = Vec::new();
        for file in fs::read_dir(self.place.state().join("audit/log")).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|e| e == "log") {
                let text = fs::read_to_string(path).unwrap();
                let payloads = text.lines().skip(1).map(|line| &line[line.find('{').unwrap()..]);
                entries.extend(payloads.map(|payload| serde_json::from_str::<Value>(payload).unwrap()));
            }
        }
        entries
    }
}

#[test]
fn the_commands_exit_status_passes_through() {
    let place = Place::new();
    let ran = place.run(["lock", "web", "--", "sh", "-c", "echo out; exit 7"]).ends_with(7);
    assert_eq!((&*ran.stdout, &*ran.stderr), ("out\n", ""));
    place.run(["lock", "web", "--", "sh", "-c", "kill -TERM $$"]).ends_with(143);
    let ran = place.run(["lock", "web", "--json", "--", "sh", "-c", "echo out; exit 3"]).ends_with(3);
    let report = ran.json();
    assert_eq!((&report["exit_status"], &report["token"]), (&json!(3), &json!(3)));
    assert_eq!(ran.stderr, "out\n");
    let error = place.run(["lock", "web", "--json", "--", "./missing"]).ends_with(1).error();
    assert_eq!(error["code"], "command-not-started");
    place.run(["release", "web"]).ends_with(5);
}

#[test]
fn a_held_lock_is_shown_and_refused() {
    let held = Held::new();
    let place = &held.place;
    let error = place.run(["lock", "web", "--wait", "0s", "--json", "--", "true"]).ends_with(11).error();
    assert!(error["message"].as_str().unwrap().contains(&format!("process {}", held.lock.pid())), "{error}");
    assert_eq!(place.run(["lock", "web", "--dry-run", "--", "true"]).status, 11);

    let id = place.run(["submit", "--repo", "web", "--", "true"]).ends_with(0).stdout.trim().to_owned();
    let active = place.run(["locks", "active", "--json"]).ends_with(0).json();
    let lock = &active["locks"][0];
    let shown = ["repository", "pid", "liveness", "verdict", "recovered", "waiting"].map(|m| lock[m].clone());
    let expected =
        [json!("web"), json!(held.lock.pid()), json!("alive"), json!("live"), json!(false), json!([id])];
    assert_eq!(shown, expected);
    assert!(lock["age_ms"].as_i64().unwrap() >= 0 && lock["acquired_at"].is_string(), "{lock}");
    let (operation, said) = (lock["operation"].as_str().unwrap(), place.run(["why", "lock:web"]).stdout);
    assert!(operation.ends_with(" …") && !active.to_string().contains("600"), "{lock}");
    assert!(!said.contains("600"), "{said}");
    let line = fs::read_to_string(place.state().join("locks/web.lock.json")).unwrap();
    assert!(!line.contains("600"), "an argument may be a secret: {line}");
    assert_eq!((&active["total"], &active["next_cursor"]), (&json!(1), &Value::Null));
    let inspected = held.inspect();
    assert_eq!(inspected["metadata"]["lock_id"], inspected["lock_id"]);
    assert!(inspected["evidence"].as_array().unwrap().len() > 1, "{inspected}");
    assert!(place.run(["locks", "active"]).ends_with(0).stdout.contains("web"));
    place.run(["locks", "inspect", "other"]).ends_with(5);
    place.run(["locks", "inspect", "../web"]).ends_with(5);
}

#[test]
fn a_living_holders_lock_needs_force_and_force_needs_consent() {
    let held = Held::new();
    let place = &held.place;
    let error = place.run(["release", "web", "--json"]).ends_with(11).error();
    assert!(error["message"].as_str().unwrap().contains(&format!("process {}", held.lock.pid())), "{error}");
    place.run(["release", "web", "--force"]).ends_with(16);
    place.run(["release", "web", "--force", "--yes", "--id", "another"]).ends_with(12);
    let rehearsed = place.run(["release", "web", "--force", "--dry-run", "--json"]).ends_with(0).json();
    assert_eq!((&rehearsed["released"], &rehearsed["forced"]), (&json!(false), &json!(true)));
    assert_eq!(held.inspect()["verdict"], "live");
    assert_eq!(held.audit().len(), 1, "only the grant");

    let words = ["release", "web", "--force", "--yes", "--json", "--reason", "it hangs"];
    let released = place.run(words).ends_with(0).json();
    assert_eq!(released["effective"], "when_the_flock_is_free");
    assert_eq!(released["was"]["lock_id"], released["lock_id"]);
    assert_eq!(released["breaks"].as_array().unwrap().len(), 2, "{released}");
    place.run(["lock", "web", "--lock-wait", "0s", "--", "true"]).ends_with(11);
    let last = held.audit().pop().unwrap();
    let told = ["action", "object", "result", "why"].map(|m| last[m].clone());
    assert_eq!(told, [json!("release"), json!("lock:web"), json!("done"), json!("it hangs")]);
    assert!(last["by"].as_str().unwrap().starts_with("uid:"), "{last}");
}

#[test]
fn what_a_dead_holder_left_is_released_without_force() {
    let mut held = Held::new();
    let id = held.inspect()["lock_id"].as_str().unwrap().to_owned();
    held.crash();
    assert_eq!((&held.inspect()["verdict"], &held.inspect()["liveness"]), (&json!("stale"), &json!("dead")));
    let place = &held.place;
    place.run(["release", "web", "--id", "another"]).ends_with(12);
    let rehearsed = place.run(["release", "web", "--dry-run", "--json"]).ends_with(0).json();
    assert_eq!((&rehearsed["released"], &rehearsed["forced"]), (&json!(false), &json!(false)));
    let released = place.run(["release", "web", "--id", &id, "--json"]).ends_with(0).json();
    assert_eq!((&released["released"], &released["lock_id"]), (&json!(true), &json!(id)));
    assert_eq!(held.inspect()["liveness"], Value::Null);
    assert_eq!(place.run(["release", "web", "--json"]).ends_with(5).error()["code"], "lock-not-held");
    place.run(["lock", "web", "--", "true"]).ends_with(0);
}

#[test]
fn a_recovery_gives_back_what_a_dead_holder_left_and_keeps_what_lives() {
    let mut held = Held::new();
    held.lock.kill();
    let place = &held.place;
    // The command goes on, so the lock stays with it.
    place.run(["release", "web"]).ends_with(11);
    place.run(["recover", "--json"]).ends_with(0).json();
    let kept = place.run(["locks", "recovered", "--json"]).ends_with(0).json();
    assert_eq!(
        (&kept["locks"][0]["repository"], &kept["locks"][0]["outcome"]),
        (&json!("web"), &json!("kept"))
    );
    held.command.kill();
    place.run(["recover", "--json"]).ends_with(0).json();
    let recovered = place.run(["locks", "recovered", "--json"]).ends_with(0).json();
    assert_eq!(recovered["locks"][0]["outcome"], "released");
    assert!(!recovered["locks"][0]["evidence"].as_array().unwrap().is_empty(), "{recovered}");
    assert_eq!(place.run(["locks", "active", "--json"]).ends_with(0).json()["total"], 0);
    // The evidence stays, also when the lock is granted again.
    place.run(["lock", "web", "--", "true"]).ends_with(0);
    let why = place.run(["why", "lock:web", "--json"]).ends_with(0).json();
    assert_eq!(why["past"].as_array().unwrap().len(), 1, "{why}");
    assert_eq!(why["past"][0]["action"], "release", "{why}");
    assert_eq!(why["past"][0]["evidence"], recovered["locks"][0]["evidence"], "{why}");
    assert!(why["past"][0]["by"].as_str().unwrap().contains("recover"), "{why}");
    held.crash();
}

#[test]
fn two_commands_never_work_on_one_repository_at_once() {
    let place = Place::new();
    let script = "mkdir inside || echo x >> overlap; echo x >> count; rmdir inside";
    let lock = || {
        Background::start(place.command().args(["lock", "web", "--wait", "30s", "--", "sh", "-c", script]))
    };
    let locks: Vec<Background> = std::iter::repeat_with(lock).take(8).collect();
    for lock in locks {
        assert_eq!(lock.wait(), 0);
    }
    assert_eq!(fs::read_to_string(place.path("count")).unwrap().lines().count(), 8);
    assert!(!place.path("overlap").exists());
    let last = place.run(["locks", "inspect", "web", "--json"]).ends_with(0).json();
    assert_eq!(last["locks"][0]["token"], 8);
}

#[test]
fn what_cannot_be_a_repositorys_name_is_wrong_usage_everywhere_and_told_once() {
    let place = Place::new();
    let long = "x".repeat(300);
    for name in ["", &long, "a\nb"] {
        for before_there_is_a_state in
            [&["lock", name, "--", "true"][..], &["lock", name, "--dry-run", "--", "true"]]
        {
            place.run(before_there_is_a_state).ends_with(2);
            assert!(!place.state().exists());
        }
    }
    place.run(["init"]).ends_with(0);
    for (name, why) in [("", "an empty name"), (&*long, "a name of 300 bytes")] {
        for words in [
            &["lock", name, "--json", "--", "true"][..],
            &["lock", name, "--json", "--dry-run", "--", "true"],
            &["release", name, "--json"],
            &["locks", "inspect", name, "--json"],
        ] {
            let error = place.run(words).ends_with(2).error();
            assert_eq!(error["code"], "bad-repository-name", "{words:?}");
            assert_eq!(error.to_string().matches(why).count(), 1, "{error}");
        }
    }
    place.run(["locks", "inspect", "never"]).ends_with(5);
}
