//! The first line is true: one scale of states, losses that are reported until they are acknowledged, and
//! nothing that a restart improves.
#![allow(clippy::disallowed_methods)] // Tests damage files.

use std::path::PathBuf;

use recovery::queue::JobStatus;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::until;
use crate::crash::scene::Scene;

/// State, action and the worst severity of the findings about an object.
fn standing(scene: &Scene) -> (String, Option<String>) {
    let status = scene.run(&["--json", "status"]).json();
    let text = |v: &Value| v.as_str().map(str::to_owned);
    (text(&status["state"]).unwrap(), text(&status["action"]))
}

fn nagios(scene: &Scene, more: &[&str]) -> (i32, String) {
    let ran = scene.run(&[&["health", "--nagios"], more].concat());
    assert_eq!(ran.stdout.lines().count(), 1, "one line: {}", ran.stdout);
    (ran.status, ran.stdout)
}

fn about<'a>(findings: &'a Value, object: &str) -> Vec<&'a Value> {
    findings["findings"].as_array().unwrap().iter().filter(|f| f["object"] == object).collect()
}

fn logs(scene: &Scene, folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(scene.place.state().join(folder)).unwrap();
    entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "log")).collect()
}

fn change_a_byte_in_the_middle(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_lost_job_is_told_by_name_over_restarts_until_somebody_acknowledges_it() {
    let scene = Scene::new();
    for id in ["before", "payroll", "after"] {
        scene.submit(id, &[], "true");
    }
    scene.flip_record("submit", "payroll");
    for start in ["the first start", "a restart"] {
        let daemon = scene.daemon(1);
        ["before", "after"].iter().for_each(|id| scene.wait_for_status(id, JobStatus::Succeeded));
        daemon.kill();
        let status = scene.json(&["status"], 3);
        assert_eq!(status["state"], "data_loss", "after {start}: {status:#}");
        let lost = about(&status, "job:payroll");
        assert_eq!(
            (&lost[0]["code"], &lost[0]["severity"]),
            (&json!("job-lost"), &json!("critical")),
            "{start}"
        );
        assert!(lost[0]["first_seen"].is_string() && lost[0]["acknowledged"].is_null(), "{lost:#?}");
        assert_eq!(nagios(&scene, &[]).0, 2, "after {start}");
    }
    scene.run(&["jobs", "prune", "--keep-last", "0", "--yes"]).ends_with(0);
    let findings = scene.json(&["findings", "--code", "job-lost"], 0);
    let id = about(&findings, "job:payroll")[0]["id"].as_str().unwrap().to_owned();

    // It is refused without a reason, and with an empty one.
    let refused = scene.json(&["findings", "ack", &id], 2);
    assert_eq!(refused["error"]["code"], "reason-missing", "{refused}");
    let unknown = scene.json(&["findings", "ack", "zzzzzzzz", "--reason", "x"], 5);
    assert_eq!(unknown["error"]["code"], "no-such-finding", "{unknown}");

    // The test follows the suggested actions, step by step, until nothing is lost any more.
    for _ in 0..8 {
        let (state, action) = standing(&scene);
        if state != "data_loss" {
            break;
        }
        let words = shlex::split(&action.unwrap()).unwrap();
        scene.run(&words[1..].iter().map(String::as_str).collect::<Vec<_>>()).ends_with(0);
    }
    assert_eq!(standing(&scene).0, "healthy");
    let told = scene.json(&["findings", "--acknowledged"], 0);
    let told = about(&told, "job:payroll");
    assert_eq!(told[0]["acknowledged"]["reason"], "seen", "{told:#?}");
    let trail = scene.json(&["audit", "--action", "acknowledge", "--object", "job:payroll"], 0);
    assert_eq!((&trail["total"], &trail["entries"][0]["reason"]), (&json!(1), &json!("seen")), "{trail:#}");
    scene.daemon(1).kill();
    assert_eq!(standing(&scene).0, "healthy", "it stays acknowledged");
}

/// Zeros in the place of a record are what a power loss leaves of a write that was not synced.
#[test]
fn what_had_never_come_to_the_disk_is_no_loss_and_what_a_recovery_had_noted_is_one() {
    for is_noted in [false, true] {
        let scene = Scene::new();
        ["a", "b", "c"].iter().for_each(|id| scene.submit(id, &[], "true"));
        if is_noted {
            scene.recover();
        }
        let path = logs(&scene, "queue/log").into_iter().max().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(9).position(|w| w == b"\"job\":\"b\"").unwrap();
        bytes[at + 20..at + 120].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let recovered = scene.recover();
        recovered.names(if is_noted { "log-record-damaged" } else { "log-torn-tail" });
        assert_eq!(standing(&scene).0 == "data_loss", is_noted, "noted: {is_noted}");
    }
}

#[test]
fn records_that_left_no_name_are_a_loss_too() {
    let scene = Scene::new();
    let daemon = scene.daemon(2);
    scene.submit("runs", &["--repo", "web"], "sleep 300");
    scene.wait_for_status("runs", JobStatus::Running);
    until("its command runs", || scene.job_file("runs", "command.json").exists());
    scene.submit("waits", &["--repo", "web"], "true");
    daemon.kill();
    scene.kill_all_of("runs");
    for path in logs(&scene, "queue/log") {
        std::fs::remove_file(path).unwrap();
    }
    for id in ["runs", "waits"] {
        let _ = std::fs::remove_file(scene.place.state().join(format!("jobs/{id}.job.json")));
    }
    for start in ["the first start", "a restart"] {
        scene.daemon(1).kill();
        let status = scene.json(&["status"], 3);
        let codes: Vec<&str> =
            status["reasons"].as_array().unwrap().iter().filter_map(|r| r["code"].as_str()).collect();
        assert!(
            codes.contains(&"log-records-missing") && codes.contains(&"job-reconstructed"),
            "{start}: {codes:?}"
        );
        assert_eq!((&status["state"], nagios(&scene, &[]).0), (&json!("data_loss"), 2), "{start}");
    }
}

#[test]
fn an_audit_trail_that_is_damaged_or_gone_is_told_without_being_asked_for() {
    type Damage = fn(&std::path::Path);
    let damages: [(&str, Damage); 2] = [
        ("removed", |path| std::fs::remove_file(path).unwrap()),
        ("changed", |path| change_a_byte_in_the_middle(path)),
    ];
    for (what, damage) in damages {
        let scene = Scene::new();
        for n in 0..3 {
            let reason = format!("because {n}");
            scene.run(&["findings", "mute", "job-crashed", "--for", "1h", "--reason", &reason]).ends_with(0);
        }
        scene.daemon(1).kill();
        assert_eq!(standing(&scene).0, "healthy");
        logs(&scene, "audit/log").iter().for_each(|path| damage(path));
        let seen = || {
            let status = scene.json(&["status"], 3);
            let found =
                status["findings"].as_array().unwrap().iter().find(|f| f["code"] == "audit-damaged").cloned();
            (status["state"].clone(), found.unwrap_or_else(|| panic!("{what}: {status:#}")))
        };
        let (state, at_rest) = seen();
        assert_eq!(state, "data_loss", "{what}");
        let daemon = scene.daemon(1);
        assert_eq!(seen().0, "data_loss", "{what}");
        daemon.kill();
        // It is still there, and unchanged.
        let (_, later) = seen();
        assert_eq!((&later["object"], &later["id"]), (&at_rest["object"], &at_rest["id"]), "{what}");
        // A record that is damaged is missing too.
        scene.run(&["findings", "ack", "--all", "--reason", "restored from a backup"]).ends_with(16);
        scene.run(&["findings", "ack", "--all", "--yes", "--reason", "restored from a backup"]).ends_with(0);
        assert_eq!(standing(&scene).0, "healthy", "{what}: what is acknowledged is told no more");
    }
}

#[test]
fn jobs_that_nobody_starts_or_watches_are_no_health() {
    let scene = Scene::new();
    assert_eq!((standing(&scene).0.as_str(), nagios(&scene, &[]).0), ("healthy", 0));
    assert_eq!(nagios(&scene, &["--require-daemon"]).0, 2);
    scene.submit("waits", &[], "true");
    let status = scene.json(&["status"], 3);
    assert_eq!((&status["state"], &status["action"]), (&json!("unwatched"), &json!("recoveryctl daemon")));
    assert_eq!(status["reasons"][0]["code"], "jobs-unwatched", "{status:#}");
    let (code, line) = nagios(&scene, &[]);
    assert!(code == 1 && line.contains("WARNING") && line.contains("1 job waits"), "{code} {line}");
    assert_eq!(nagios(&scene, &["--require-daemon"]).0, 2);
    scene.run(&["health"]).ends_with(3);
    // Without a daemon, but not unwatched.
    scene.submit("long", &[], "until [ -e $W/open ]; do sleep 0.02; done");
    let mut worker = scene.place.command();
    worker.args(["work", "--once"]).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut worker = worker.spawn().unwrap();
    until("somebody runs jobs", || {
        scene.status("long") == JobStatus::Running && standing(&scene).0 == "healthy"
    });
    scene.open_gate("open");
    assert!(worker.wait().unwrap().success());
    assert_eq!(standing(&scene).0, "healthy");
}

#[test]
fn the_worst_that_is_true_now_comes_first_whatever_else_is_known() {
    let scene = Scene::new();
    let daemon = scene.daemon(2);
    scene.submit("old", &[], "sleep 300");
    until("it runs", || scene.job_file("old", "command.json").exists());
    daemon.kill();
    scene.kill_all_of("old");
    let daemon = scene.daemon(2);
    scene.wait_for_status("old", JobStatus::Crashed);
    let (state, action) = standing(&scene);
    assert_eq!((state.as_str(), action.as_deref()), ("attention", Some("recoveryctl resume old")));
    assert_eq!((nagios(&scene, &[]).0, nagios(&scene, &["--strict"]).0), (0, 1));
    scene.submit("new", &[], "sleep 300");
    until("it runs", || scene.job_file("new", "command.json").exists());
    daemon.kill();
    scene.kill_all_of("new");
    let status = scene.json(&["status"], 3);
    assert_eq!((&status["state"], &status["action"]), (&json!("unwatched"), &json!("recoveryctl recover")));
    let gone = about(&status, "job:new");
    assert_eq!(gone[0]["code"], "job-processes-gone", "{status:#}");
    let shown = scene.json(&["jobs", "show", "new"], 0);
    assert_eq!(shown["conditions"][0]["condition"], "processes_gone", "{shown:#}");
    assert_eq!(nagios(&scene, &[]).0, 1);
    scene.run(&["recover"]).ends_with(0);
    assert_eq!(standing(&scene).0, "attention");
    // The evidence of its end stays, with the time.
    let why = scene.json(&["why", "job:new"], 0);
    assert!(why["evidence"].as_array().unwrap().len() > 2 && why["proven_at"].is_string(), "{why:#}");
    scene.run(&["recover"]).ends_with(0);
    assert_eq!(scene.json(&["why", "job:new"], 0)["evidence"], why["evidence"]);
    // The finding does not count for a while.
    scene.run(&["findings", "mute", "job-crashed", "--for", "1h", "--reason", "known"]).ends_with(0);
    assert_eq!(standing(&scene).0, "healthy");
    let groups = scene.json(&["findings", "--group"], 0);
    let of_crashed = |g: &&Value| g["code"] == "job-crashed";
    let group = groups["groups"].as_array().unwrap().iter().find(of_crashed).unwrap();
    assert_eq!((&group["count"], &group["severity"]), (&json!(2), &json!("warning")), "{groups:#}");
    assert_eq!(group["next"], "recoveryctl findings --code job-crashed", "{groups:#}");
    let muted = scene.json(&["findings"], 0);
    assert!(about(&muted, "job:new")[0]["muted_until"].is_string(), "it is shown all the same: {muted:#}");
    scene.run(&["findings", "unmute", "job-crashed"]).ends_with(0);
    assert_eq!(standing(&scene).0, "attention");
    scene.run(&["findings", "unmute", "job-crashed"]).ends_with(5);
    scene.run(&["findings", "mute", "job-lost", "--for", "1h"]).ends_with(12);
    let now = scene.json(&["findings"], 0);
    let id = about(&now, "job:new")[0]["id"].as_str().unwrap().to_owned();
    let refused = scene.json(&["findings", "ack", &id, "--reason", "x"], 12);
    assert_eq!(refused["error"]["code"], "not-a-loss", "{refused}");
}

#[test]
fn severity_does_not_change_by_a_restart() {
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    scene.submit("last", &["--on-crash", "requeue", "--max-attempts", "1"], "sleep 300");
    until("it runs", || scene.job_file("last", "command.json").exists());
    daemon.kill();
    scene.kill_all_of("last");
    scene.run(&["recover"]).ends_with(3);
    let seen = || {
        let status = scene.json(&["status"], 3);
        let found = about(&status, "job:last");
        (status["state"].clone(), found[0]["code"].clone(), found[0]["severity"].clone())
    };
    let after_the_recovery = seen();
    assert_eq!(after_the_recovery.1, "job-attempts-exhausted");
    let daemon = scene.daemon(1);
    assert_eq!(seen(), after_the_recovery);
    daemon.kill();
    let _daemon = scene.daemon(1);
    assert_eq!(seen(), after_the_recovery, "after a restart");
}

#[test]
fn a_daemon_that_is_stopped_is_told_and_its_next_step_works() {
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    daemon.signal(Signal::STOP);
    until("it is told", || standing(&scene).0 == "unwatched");
    let (_, action) = standing(&scene);
    let action = action.unwrap();
    assert!(action.starts_with("kill -CONT "), "{action}");
    assert!(std::process::Command::new("sh").args(["-c", &action]).status().unwrap().success());
    until("it goes on", || standing(&scene).0 == "healthy");
    daemon.kill();
}

#[test]
fn what_cannot_be_looked_at_is_unknown_and_what_is_damaged_is_critical() {
    let scene = Scene::new();
    let (code, line) = nagios(&scene, &["--no-such-option"]);
    assert!(code == 3 && line.starts_with("RECOVERYCTL UNKNOWN - "), "{code} {line}");
    let elsewhere = scene.place.path("nothing-here");
    let (code, line) = nagios(&scene, &["--state-dir", &elsewhere.display().to_string()]);
    assert!(code == 3 && line.starts_with("RECOVERYCTL UNKNOWN - "), "{code} {line}");
    std::fs::write(scene.place.state().join("state.json"), "no JSON").unwrap();
    let (code, line) = nagios(&scene, &[]);
    assert!(code == 2 && line.starts_with("RECOVERYCTL CRITICAL - "), "{code} {line}");
}

#[test]
fn the_queues_damage_is_shown_as_such_until_it_is_mended() {
    let scene = Scene::new();
    for id in ["a", "b", "c"] {
        scene.submit(id, &[], "true");
    }
    scene.flip_record("submit", "b");
    let status = scene.json(&["status"], 15);
    assert_eq!((&status["state"], &status["action"]), (&json!("damaged"), &json!("recoveryctl recover")));
    scene.run(&["health"]).ends_with(15);
    assert_eq!(nagios(&scene, &[]).0, 2);
    scene.recover();
    assert_eq!(standing(&scene).0, "data_loss");
}

#[test]
fn of_a_skip_and_a_retry_the_later_one_counts() {
    let scene = Scene::new();
    scene.run(&["recover"]).ends_with(0);
    scene.run(&["skip", "locks"]).ends_with(0);
    scene.run(&["retry", "phase", "locks"]).ends_with(0);
    let phase = |scene: &Scene| {
        let phases = scene.json(&["recovery", "phases"], 0);
        let all = phases["phases"].as_array().unwrap();
        all.iter().find(|p| p["phase"] == "locks").unwrap()["status"].clone()
    };
    assert_eq!(phase(&scene), "succeeded");
    // The request was consumed.
    scene.run(&["recover"]).ends_with(0);
    assert_eq!(phase(&scene), "succeeded");
    // And with a daemon.
    let _daemon = scene.daemon(1);
    scene.run(&["skip", "locks"]).ends_with(0);
    scene.run(&["retry", "phase", "locks"]).ends_with(0);
    assert_eq!(phase(&scene), "succeeded");
}

#[test]
fn lists_that_grow_show_the_newest_first() {
    let scene = Scene::new();
    for id in ["oldest", "middle", "newest"] {
        scene.submit(id, &[], "false");
    }
    scene.work();
    let ids = |words: &[&str]| -> Vec<String> {
        let list = scene.json(words, 0);
        list["jobs"].as_array().unwrap().iter().map(|j| j["job_id"].as_str().unwrap().to_owned()).collect()
    };
    for what in ["list", "failed"] {
        assert_eq!(ids(&["jobs", what]), ["newest", "middle", "oldest"]);
        assert_eq!(ids(&["jobs", what, "--limit", "1"]), ["newest"]);
        assert_eq!(ids(&["jobs", what, "--reverse", "--limit", "2"]), ["oldest", "middle"]);
        let first = scene.json(&["jobs", what, "--limit", "2"], 0);
        let cursor = first["next_cursor"].as_str().unwrap();
        // A job that comes meanwhile is before the cursor.
        assert_eq!(ids(&["jobs", what, "--cursor", cursor]), ["oldest"]);
    }
    let text = scene.run(&["jobs", "list"]).ends_with(0).stdout;
    let place = |id: &str| text.find(id).unwrap();
    assert!(place("newest") < place("middle") && place("middle") < place("oldest"), "{text}");
    for n in ["first", "last"] {
        scene.run(&["skip", "locks", "--reason", n]).ends_with(0);
    }
    let audit = scene.json(&["audit", "--action", "skip", "--limit", "1"], 0);
    assert_eq!(audit["entries"][0]["reason"], "last", "{audit:#}");
}

#[test]
fn losses_are_acknowledged_over_http_too() {
    let scene = Scene::new();
    for id in ["a", "b"] {
        scene.submit(id, &[], "true");
    }
    scene.flip_record("submit", "a");
    let _daemon = scene.daemon(1);
    let socket = scene.place.state().join("daemon/admin.sock").display().to_string();
    let asked = |words: &[&str], status: i32| scene.json(&[&["--socket", &socket], words].concat(), status);
    let status = asked(&["status"], 3);
    assert_eq!(status["state"], "data_loss", "{status:#}");
    let of_loss = |f: &&Value| f["severity"] == "critical";
    let ids: Vec<String> = status["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(of_loss)
        .map(|f| f["id"].as_str().unwrap().to_owned())
        .collect();
    let words: Vec<&str> = ["findings", "ack"].into_iter().chain(ids.iter().map(String::as_str)).collect();
    let done = asked(&[&words[..], &["--reason", "seen"]].concat(), 0);
    assert_eq!(done["acknowledged"].as_array().unwrap().len(), ids.len(), "{done:#}");
    until("the loss is told no more", || scene.run(&["--json", "status"]).json()["state"] == "healthy");
}
