//! `audit`: every mutation leaves its entry, once, with who, why and how it ended; damage stops nothing.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests damage files.

use std::path::PathBuf;

use recovery::queue::JobStatus;
use serde_json::{Value, json};

use crate::common;
use crate::common::{Background, until};
use crate::crash::scene::Scene;

fn entries(scene: &Scene, filter: &[&str]) -> Vec<Value> {
    let ran = scene.place.run([&["--json", "audit", "--reverse"][..], filter].concat());
    ran.json()["entries"].as_array().unwrap().clone()
}

/// Returns what was done, as `ACTION OBJECT`, in order.
fn done(scene: &Scene, filter: &[&str]) -> Vec<String> {
    let word = |v: &Value| v.as_str().unwrap().to_owned();
    entries(scene, filter).iter().map(|e| format!("{} {}", word(&e["action"]), word(&e["object"]))).collect()
}

/// A mutation: its preparation, the command, and the entry that the trail must have.
struct Mutation {
    prepare: fn(&Scene),
    words: &'static [&'static str],
    status: i32,
    told: &'static [&'static str],
}

fn nothing(_: &Scene) {}

fn queued(scene: &Scene) {
    scene.submit("a", &[], "true");
}

fn failed(scene: &Scene) {
    scene.submit("a", &[], "exit 1");
    scene.work();
}

fn two_jobs_in_a_file(scene: &Scene) {
    let line = |id: &str| format!("{{\"id\":\"{id}\",\"command\":[\"true\"]}}\n");
    scene.place.write("jobs.jsonl", &[line("x"), line("y")].concat());
}

fn stale_lock(scene: &Scene) {
    let script = "echo $$ > witness/pid; exec sleep 600";
    let mut lock = Background::start(scene.place.command().args(["lock", "web", "--", "sh", "-c", script]));
    until("the command runs", || !scene.witnessed("pid").is_empty());
    lock.kill();
    common::Foreign::of(scene.witnessed("pid")[0].parse().unwrap()).kill();
}

fn damaged_lock(scene: &Scene) {
    scene.run(&["lock", "web", "--", "true"]).ends_with(0);
    std::fs::write(scene.place.state().join("locks/web.lock.json"), "damaged").unwrap();
}

fn legacy_workspace(scene: &Scene) {
    let job = r#"{"Id":"b2d3f6a0-0000-4000-8000-000000000001","Status":1,"Prompt":"x"}"#;
    scene.place.write("legacy/jobs/b2d3f6a0-0000-4000-8000-000000000001.job.json", job);
}

fn damaged_log(scene: &Scene) {
    scene.submit("a", &[], "true");
    scene.submit("b", &[], "true");
    scene.flip_record("submit", "a");
}

/// Every command that changes something; a new one is entered here.
const MUTATIONS: &[Mutation] = &[
    Mutation {
        prepare: nothing,
        words: &["submit", "--id", "new", "--", "true"],
        status: 0,
        told: &["submit job:new"],
    },
    Mutation {
        prepare: two_jobs_in_a_file,
        words: &["submit", "--from", "jobs.jsonl"],
        status: 0,
        told: &["submit job:x", "submit job:y"],
    },
    Mutation {
        prepare: nothing,
        words: &["findings", "mute", "job-crashed", "--for", "1h"],
        status: 0,
        told: &["mute finding:job-crashed"],
    },
    Mutation { prepare: queued, words: &["jobs", "cancel", "a"], status: 0, told: &["cancel job:a"] },
    Mutation { prepare: failed, words: &["resume", "a"], status: 0, told: &["resume job:a"] },
    Mutation { prepare: nothing, words: &["lock", "web", "--", "true"], status: 0, told: &["lock lock:web"] },
    Mutation { prepare: stale_lock, words: &["release", "web"], status: 0, told: &["release lock:web"] },
    Mutation {
        prepare: stale_lock,
        words: &["locks", "detect-stale", "--release"],
        status: 0,
        told: &["release lock:web"],
    },
    Mutation {
        prepare: damaged_lock,
        words: &["release", "web", "--force", "--yes"],
        status: 0,
        told: &["release lock:web"],
    },
    Mutation { prepare: damaged_lock, words: &["repair", "locks"], status: 0, told: &["repair lock:web"] },
    Mutation { prepare: nothing, words: &["skip", "locks"], status: 0, told: &["skip phase:locks"] },
    Mutation { prepare: nothing, words: &["recover"], status: 0, told: &["recover state"] },
    Mutation {
        prepare: failed,
        words: &["jobs", "prune", "--keep-days", "0", "--yes"],
        status: 0,
        told: &["remove job:a"],
    },
    Mutation {
        prepare: nothing,
        words: &["retry", "phase", "locks"],
        status: 0,
        told: &["retry phase:locks"],
    },
    Mutation { prepare: nothing, words: &["startup", "clear"], status: 0, told: &["startup clear startup"] },
    Mutation { prepare: queued, words: &["work", "--once"], status: 0, told: &["work queue"] },
    Mutation { prepare: queued, words: &["run", "a"], status: 0, told: &["run queue"] },
    Mutation {
        prepare: legacy_workspace,
        words: &["import", "claude-batch-server", "legacy"],
        status: 0,
        told: &["restore job:b2d3f6a0-0000-4000-8000-000000000001"],
    },
];

#[test]
fn every_mutation_leaves_its_entry_once_with_who_why_and_what() {
    for Mutation { prepare, words, status, told } in MUTATIONS {
        let scene = Scene::new();
        prepare(&scene);
        let before = entries(&scene, &[]).len();
        let (globals, rest) = (["--reason", "because of the test"], *words);
        let ran = scene.place.run([&globals[..], rest].concat());
        assert_eq!(ran.status, *status, "{words:?}: {}\n{}", ran.stdout, ran.stderr);
        let all = entries(&scene, &[]);
        let new = &all[before..];
        let names: Vec<String> = new
            .iter()
            .map(|e| format!("{} {}", e["action"].as_str().unwrap(), e["object"].as_str().unwrap()))
            .collect();
        assert_eq!(names, *told, "{words:?}: {all:#?}");
        for entry in new {
            // The records of a recovery or a run have their own reasons in addition.
            assert_eq!(
                entry["reason"].as_str().filter(|_| !matches!(words[0], "recover" | "work" | "run")),
                Some("because of the test").filter(|_| !matches!(words[0], "recover" | "work" | "run")),
                "{words:?}: {entry:#}"
            );
            assert_eq!(entry["uid"], rustix::process::getuid().as_raw(), "{entry:#}");
            assert_eq!(entry["result"], "done", "{entry:#}");
            assert!(!entry["terminal"].as_str().unwrap().is_empty(), "{entry:#}");
            let command = entry["command"].as_str().unwrap();
            assert!(command.starts_with(words[0]), "{command} is not {words:?}");
            assert!(entry["at"].as_str().unwrap().ends_with('Z'), "{entry:#}");
        }
    }
}

#[test]
fn a_new_state_directory_and_a_queue_that_was_repaired_have_entries_too() {
    let scene = Scene::new();
    assert_eq!(done(&scene, &[]), ["init state"]);
    damaged_log(&scene);
    scene.run(&["repair", "queue", "--reason", "bad disk"]).ends_with(0);
    let repairs = entries(&scene, &["--action", "repair"]);
    assert!(repairs.len() >= 2, "{repairs:#?}");
    assert!(repairs.iter().all(|e| e["reason"] == "bad disk"), "{repairs:#?}");
    let _daemon = scene.daemon(1);
    until("the daemon has told", || done(&scene, &["--action", "daemon"]) == ["daemon state"]);
}

#[test]
fn dry_runs_refusals_and_looks_leave_nothing() {
    let scene = Scene::new();
    stale_lock(&scene);
    scene.submit("a", &[], "exit 1");
    let before = entries(&scene, &["--all"]).len();
    for (words, status) in [
        (&["release", "web", "--dry-run"][..], 0),
        (&["release", "web", "--id", "another"], 12),
        (&["locks", "detect-stale"], 0),
        (&["locks", "detect-stale", "--release", "--dry-run"], 0),
        (&["repair", "--dry-run"], 0),
        (&["jobs", "cancel", "a", "--dry-run"], 0),
        (&["jobs", "cancel", "nobody"], 5),
        (&["resume", "a"], 1),
        (&["scan", "--dry-run"], 0),
        (&["orphans", "empty-trash", "--dry-run"], 0),
        (&["orphans", "restore", "nothing", "--dry-run"], 5),
        (&["cleanup", "run", "--dry-run"], 2),
        (&["skip", "nonsense"], 5),
        (&["why", "lock:web"], 0),
        (&["audit"], 0),
        (&["status"], 3),
    ] {
        scene.run(words).ends_with(status);
        assert_eq!(entries(&scene, &["--all"]).len(), before, "{words:?}");
    }
}

#[test]
fn no_secret_of_the_command_line_is_told() {
    let scene = Scene::new();
    let words = ["submit", "--id", "a", "--repo", "web", "--env", "TOKEN=hunter2", "--callback"];
    let rest = ["https://ana:hunter3@example.org/x", "--", "deploy", "--password", "hunter4"];
    scene.place.run(words.iter().chain(&rest)).ends_with(0);
    scene.place.run(["lock", "db", "--", "sh", "-c", ": hunter5"]).ends_with(0);
    let ran = scene.place.run(["--json", "audit"]).ends_with(0);
    assert!(!ran.stdout.contains("hunter"), "{}", ran.stdout);
    let submitted = &entries(&scene, &["--object", "job:a"])[0];
    assert_eq!(submitted["command"], "submit --id a --repo web --env … --callback … -- deploy …");
    assert_eq!(submitted["detail"], "repository web");
}

#[test]
fn filters_and_pages_cut_one_list_in_order_of_time() {
    let scene = Scene::new();
    scene.submit("a", &[], "true");
    scene.run(&["lock", "web", "--", "true"]).ends_with(0);
    scene.submit("b", &[], "true");
    scene.run(&["jobs", "cancel", "a"]).ends_with(0);
    let all = ["init state", "submit job:a", "lock lock:web", "submit job:b", "cancel job:a"];
    assert_eq!(done(&scene, &[]), all);
    assert_eq!(done(&scene, &["--object", "job"]), ["submit job:a", "submit job:b", "cancel job:a"]);
    assert_eq!(done(&scene, &["--object", "job:a"]), ["submit job:a", "cancel job:a"]);
    assert_eq!(done(&scene, &["--action", "lock"]), ["lock lock:web"]);
    assert_eq!(done(&scene, &["--by", "cancel"]), ["cancel job:a"]);
    assert_eq!(done(&scene, &["--since", "1h"]), all);
    let third = entries(&scene, &[])[2]["at"].as_str().unwrap().to_owned();
    assert_eq!(done(&scene, &["--since", &third]), all[2..]);
    assert_eq!(done(&scene, &["--since", "2999-01-01T00:00:00Z"]), [""; 0]);
    scene.run(&["audit", "--since", "yesterday"]).ends_with(2);
    let (mut cursor, mut seen) = (None::<String>, Vec::new());
    loop {
        let mut words = vec!["audit", "--limit", "2", "--reverse"];
        words.extend(cursor.as_deref().map(|c| ["--cursor", c]).into_iter().flatten());
        let page = scene.json(&words, 0);
        assert_eq!(page["total"], 5);
        seen.extend(
            page["entries"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap().to_owned()),
        );
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["init", "submit", "lock", "submit", "cancel"]);
    let work = scene.work();
    assert!(work.is_object());
    assert!(done(&scene, &["--all"]).iter().any(|e| e == "claim job:b"));
    assert!(!done(&scene, &[]).iter().any(|e| e == "claim job:b"));
}

/// Checkpoints cut the queue's log, but not the acts of operators on the queue.
#[test]
fn entries_outlive_the_queues_log_and_are_not_doubled() {
    let scene = Scene::new();
    scene.submit("a", &["--reason", "first of all"], "true");
    scene.submit("b", &[], "true");
    scene.run(&["jobs", "cancel", "a", "--reason", "not needed"]).ends_with(0);
    let mut expected = done(&scene, &[]);
    for n in 0..4 {
        scene.queue().checkpoint().unwrap();
        assert_eq!(done(&scene, &[]), expected, "after checkpoint {n}");
        scene.submit(&format!("more-{n}"), &[], "true");
        expected.push(format!("submit job:more-{n}"));
    }
    let log = scene.json(&["queue", "wal"], 0);
    assert!(log["segments"][0]["first_seq"].as_u64().unwrap() > 3, "the log is cut: {log:#}");
    let first = &entries(&scene, &["--object", "job:a"])[0];
    let told = ["reason", "source", "action"].map(|m| first[m].clone());
    assert_eq!(told, [json!("first of all"), json!("queue"), json!("submit")]);
    assert_eq!(scene.status("a"), JobStatus::Cancelled);
}

fn trail(scene: &Scene) -> PathBuf {
    let folder = scene.place.state().join("audit/log");
    let names = std::fs::read_dir(folder).unwrap().flatten().map(|e| e.path());
    names.filter(|p| p.extension().is_some_and(|e| e == "log")).min().unwrap()
}

/// Does the damage.
type Damage = fn(&Scene);

/// The kinds of damage to the trail.
const DAMAGE: &[(&str, Damage)] = &[
    ("a byte is flipped", |scene| {
        let path = trail(scene);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(8).position(|w| w == b"lock:web").unwrap();
        bytes[at + 2] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }),
    ("it is cut in the middle of an entry", |scene| {
        let path = trail(scene);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() * 2 / 3]).unwrap();
    }),
    ("it is empty", |scene| std::fs::write(trail(scene), "").unwrap()),
    ("it is garbage", |scene| std::fs::write(trail(scene), vec![0xA5; 5_000]).unwrap()),
    ("its first line is damaged", |scene| {
        let path = trail(scene);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }),
    ("it is gone", |scene| std::fs::remove_file(trail(scene)).unwrap()),
    ("a folder stands in its place", |scene| {
        std::fs::remove_file(trail(scene)).unwrap();
        std::fs::create_dir(scene.place.state().join("audit/log/00000000000000000001.log")).unwrap();
    }),
    ("the writers' page is garbage", |scene| {
        std::fs::write(scene.place.state().join("audit/log/commit.page"), vec![0xFF; 4_096]).unwrap();
    }),
    ("the writers' page is a folder", |scene| {
        let page = scene.place.state().join("audit/log/commit.page");
        std::fs::remove_file(&page).unwrap();
        std::fs::create_dir(page).unwrap();
    }),
    ("a file stands in the folder's place", |scene| {
        let folder = scene.place.state().join("audit/log");
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::write(folder, "what is this").unwrap();
    }),
];

#[test]
fn damage_of_the_trail_stops_nothing_and_is_found() {
    for (what, damage) in DAMAGE {
        let scene = Scene::new();
        scene.run(&["lock", "web", "--", "true"]).ends_with(0);
        scene.run(&["lock", "db", "--", "true"]).ends_with(0);
        damage(&scene);
        let found = scene.place.run(["--json", "audit"]);
        let report = found.json();
        let codes: Vec<&str> =
            report["findings"].as_array().unwrap().iter().filter_map(|f| f["code"].as_str()).collect();
        let is_found = codes.contains(&"audit-damaged");
        assert_eq!(found.status, if is_found { 3 } else { 0 }, "{what}: {report:#}");

        for words in
            [&["lock", "api", "--", "true"][..], &["submit", "--id", "a", "--", "true"], &["recover"]]
        {
            let ran = scene.run(words);
            assert_eq!(ran.status, 0, "{what}: {words:?}: {}", ran.stderr);
        }
        let names = done(&scene, &[]);
        for entry in ["lock lock:api", "submit job:a", "recover state"] {
            assert!(names.iter().any(|n| n == entry), "{what}: {entry} is missing: {names:?}");
        }
        let again = scene.place.run(["--json", "audit"]).json();
        let is_whole =
            names.iter().any(|n| n == "lock lock:web") && names.iter().any(|n| n == "lock lock:db");
        let still = again["findings"].as_array().unwrap().iter().any(|f| f["code"] == "audit-damaged");
        let was_set_aside = !scene.quarantined().is_empty();
        assert!(
            is_whole || is_found || still || was_set_aside,
            "{what}: entries are lost and nobody says so: {names:?}"
        );
    }
}
