//! No report contradicts another one, and none reports what is over.
#![allow(clippy::disallowed_methods)] // Tests damage files.

use serde_json::{Value, json};

use crate::common::until;
use crate::crash::scene::Scene;

fn status(scene: &Scene) -> Value {
    scene.run(&["--json", "status"]).json()
}

fn codes(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap()).collect()
}

fn damage(path: &std::path::Path, at: impl Fn(&[u8]) -> usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = at(&bytes);
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn newest_segment(scene: &Scene, folder: &str) -> std::path::PathBuf {
    let entries = std::fs::read_dir(scene.place.state().join(folder)).unwrap();
    let logs = entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "log"));
    logs.max().unwrap()
}

#[test]
fn orphan_is_told_by_the_status_from_its_scan_until_it_is_removed() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[docker]\nhost = \"none\"\n[orphans]\ngrace = \"0s\"\n");
    scene.run(&["recover"]).ends_with(0);
    std::fs::create_dir_all(scene.place.state().join("jobs/ghost/sub")).unwrap();
    assert_eq!(codes(&status(&scene)), [""; 0], "nobody has looked");
    let plan = scene.json(&["scan"], 0)["plan_id"].as_str().unwrap().to_owned();
    let told = status(&scene);
    assert_eq!((&told["state"], codes(&told)), (&json!("attention"), vec!["orphan-found"]), "{told:#}");
    assert_eq!(told["action"], format!("recoveryctl orphans cleanup --plan {plan}"));
    let id = scene.json(&["orphans", "candidates"], 0)["candidates"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(scene.json(&["why", &format!("orphan:{}", &id[..6])], 0)["verdict"], "orphan");
    scene.run(&["orphans", "cleanup", "--plan", &plan, "--yes"]).ends_with(0);
    assert_eq!(status(&scene)["state"], "healthy");
    scene.run(&["orphans", "restore", &id[..6]]).ends_with(0);
}

#[test]
fn what_a_crash_queued_again_is_not_to_be_resumed() {
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    scene.submit("again", &["--on-crash", "requeue"], "echo began >> $W/again; exec sleep 300");
    scene.wait_for_witness("again");
    daemon.kill();
    scene.kill_all_of("again");
    let recovered = scene.run(&["--json", "recover"]).json();
    let jobs = recovered["phases"].as_array().unwrap().iter().find(|p| p["phase"] == "jobs").unwrap();
    assert_eq!(jobs["findings"][0]["code"], "job-crashed", "{jobs:#}");
    assert_eq!(jobs["findings"][0]["next"], "recoveryctl jobs show again");
}

#[test]
fn attempt_that_has_not_begun_has_no_end_of_the_one_before() {
    let scene = Scene::new();
    scene.submit("fails", &[], "exit 7");
    scene.work();
    assert_eq!(scene.json(&["jobs", "show", "fails"], 0)["exit_code"], 7);
    scene.run(&["resume", "fails"]).ends_with(0);
    let waits = scene.json(&["jobs", "list"], 0)["jobs"][0].clone();
    assert_eq!((&waits["attempt"], &waits["exit_code"]), (&json!(2), &Value::Null), "{waits}");
    assert_eq!((&waits["started_at"], &waits["finished_at"]), (&Value::Null, &Value::Null), "{waits}");
    let why = scene.json(&["why", "job:fails"], 0);
    assert!(why["because"].as_str().unwrap().contains("no daemon runs"), "{why}");
    scene.run(&["jobs", "cancel", "fails"]).ends_with(0);
    let cancelled = scene.json(&["jobs", "show", "fails"], 0);
    assert_eq!(
        (&cancelled["exit_code"], &cancelled["started_at"]),
        (&Value::Null, &Value::Null),
        "{cancelled}"
    );
    assert_eq!(cancelled["attempts"][0]["exit_code"], 7, "{cancelled}");
    let again = scene.json(&["jobs", "cancel", "fails"], 1);
    assert!(again.to_string().contains("it has already been cancelled"), "{again}");
}

#[test]
fn lost_job_is_told_with_what_its_record_still_says() {
    let scene = Scene::new();
    scene.submit("pay roll", &["--title", "Monthly", "--repo", "fin"], "true");
    damage(&newest_segment(&scene, "queue/log"), |bytes| {
        memchr(bytes, b"\"true\"").unwrap_or_else(|| memchr(bytes, b"true").unwrap()) + 1
    });
    scene.recover().names("job-lost");
    let told = status(&scene);
    let first = &told["findings"][0];
    assert_eq!(first["object"], "job:pay roll", "a job comes before the files: {told:#}");
    let sentence = first["sentence"].as_str().unwrap();
    for known in ["title \"Monthly\"", "repository \"fin\"", "submitted 20", "in quarantine"] {
        assert!(sentence.contains(known), "{known}: {sentence}");
    }
    assert!(told["action"].as_str().unwrap().contains(first["id"].as_str().unwrap()), "{told:#}");
    for command in [["why", "job:pay roll"].as_slice(), &["jobs", "show", "pay roll"]] {
        let error = scene.json(command, 5);
        assert_eq!(error["error"]["code"], "job-lost", "{error}");
        let hint = shlex::split(error["error"]["hint"].as_str().unwrap()).unwrap();
        let listed = scene.json(&hint[1..].iter().map(String::as_str).collect::<Vec<_>>(), 0);
        assert_eq!(listed["findings"][0]["object"], "job:pay roll", "{listed}");
    }
}

fn memchr(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).rposition(|w| w == wanted)
}

#[test]
fn damaged_entry_of_the_audit_trail_is_one_loss_and_stays_acknowledged_everywhere() {
    let scene = Scene::new();
    for id in ["a", "b", "c"] {
        scene.submit(id, &[], "true");
        scene.run(&["release", id]);
        scene.run(&["findings", "mute", "jobs-unwatched", "--for", "1h", "--reason", id]).ends_with(0);
    }
    damage(&newest_segment(&scene, "audit/log"), |bytes| {
        bytes.len() - bytes.iter().rev().take_while(|b| **b == 0).count() - 40
    });
    let lost = |report: &Value| -> Vec<Value> {
        let all = report["findings"].as_array().unwrap().iter();
        all.filter(|f| f["code"] == "audit-damaged" && f["severity"] == "critical").cloned().collect()
    };
    assert_eq!(lost(&status(&scene)).len(), 1, "{:#}", status(&scene));
    let id = lost(&status(&scene))[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(lost(&scene.json(&["audit"], 3))[0]["id"], id, "the same everywhere");
    // The beginning of an id is enough; the entry about it comes after the damage.
    scene.run(&["findings", "ack", &id[..5], "--reason", "seen"]).ends_with(0);
    for _ in 0..2 {
        assert!(lost(&status(&scene)).is_empty(), "{:#}", status(&scene));
        let audit = scene.run(&["--json", "audit"]).json();
        assert!(lost(&audit).is_empty(), "{audit:#}");
        scene.run(&["findings", "mute", "jobs-unwatched", "--for", "2h"]).ends_with(0);
    }
    let again = scene.json(&["findings", "ack", &id, "--reason", "x"], 12);
    assert_eq!(again["error"]["code"], "acknowledged-before", "{again}");
    let text = scene.run(&["findings", "--acknowledged"]).ends_with(0).stdout;
    assert!(text.contains("acknowledged 20") && text.contains(": seen"), "{text}");
    let muted = scene.run(&["findings"]).ends_with(0).stdout;
    assert!(muted.contains("(muted until 20"), "{muted}");
}

#[test]
fn damage_that_the_status_tells_is_told_by_scan_and_by_its_own_list() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[docker]\nhost = \"none\"\n");
    scene.run(&["recover"]).ends_with(0);
    scene.run(&["lock", "web", "--", "true"]).ends_with(0);
    scene.run(&["scan", "--exit-code"]).ends_with(0);
    std::fs::write(scene.place.state().join("locks/web.lock.json"), "{\"version\":garbage").unwrap();
    let scan = scene.json(&["scan", "--exit-code"], 4);
    assert_eq!(codes(&scan), ["lock-unavailable"], "{scan:#}");
    scene.run(&["repair", "locks"]).ends_with(0);
    let why = scene.json(&["why", "lock:web"], 0);
    assert_eq!(why["past"][0]["action"], "repair", "{why:#}");

    damage(&newest_segment(&scene, "startup/log"), |bytes| memchr(bytes, b"\"outcome\"").unwrap() + 3);
    let told = status(&scene);
    assert_eq!(
        (&told["reasons"][0]["code"], &told["state"]),
        (&json!("startup-log-damaged"), &json!("attention"))
    );
    let ran = scene.run(&["startup", "history"]).ends_with(0);
    assert!(ran.stderr.contains("the log of startups is damaged"), "{}", ran.stderr);
    scene.run(&["recover"]);
    assert_eq!(codes(&status(&scene)).iter().filter(|c| **c == "startup-log-damaged").count(), 1);
}

#[test]
fn plugin_has_one_line_and_four_statuses_over_url_too() {
    let scene = Scene::new();
    scene.run(&["init"]).ends_with(0);
    let missing = scene.run(&["health", "--nagios", "--require-daemon"]);
    assert_eq!(missing.status, 2);
    assert!(
        missing.stdout.contains("CRITICAL - no daemon runs; next: recoveryctl daemon |"),
        "{}",
        missing.stdout
    );
    let token = scene.place.write("token", &"a".repeat(64));
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for more in [vec!["--token-file", token.to_str().unwrap()], Vec::new()] {
        let ran =
            scene.run(&[&["health", "--nagios", "--url", "http://127.0.0.1:1"], more.as_slice()].concat());
        assert_eq!((ran.status, ran.stdout.lines().count()), (3, 1), "{ran:?}");
        assert!(ran.stdout.starts_with("RECOVERYCTL UNKNOWN - "), "{}", ran.stdout);
    }
}

#[test]
fn daemon_that_does_not_turn_is_not_waited_for() {
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    let socket = scene.place.state().join("daemon/admin.sock");
    until("the socket is served", || socket.exists());
    daemon.signal(rustix::process::Signal::STOP);
    let ran = scene.run(&["health", "--nagios", "--socket", socket.to_str().unwrap()]);
    daemon.signal(rustix::process::Signal::CONT);
    assert_eq!(ran.status, 3, "{ran:?}");
    assert!(ran.stdout.contains("no answer within 10 s"), "{}", ran.stdout);
}
