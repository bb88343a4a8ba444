//! `repair`: what it finds, does and leaves, with real damage and real crashes.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests damage files.

use recovery::queue::JobStatus;
use serde_json::{Value, json};

use crate::common;
use crate::common::{Background, until};
use crate::crash::scene;
use crate::crash::scene::{Scene, kill};

/// Waits for its gate.
const GATED: &str = "echo began >> $W/$RECOVERYCTL_JOB_ID; until [ -e $W/open ]; do sleep 0.02; done";

fn running_alone(scene: &Scene, id: &str, options: &[&str]) {
    let daemon = scene.daemon(2);
    scene.submit(id, options, GATED);
    scene.wait_for_witness(id);
    daemon.kill();
}

fn acts(report: &Value) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let actions = report["actions"].as_array().unwrap();
    actions.iter().map(|a| (text(&a["action"]), text(&a["object"]))).collect()
}

/// A dry run that names the acts and changes nothing, the run that does them, and a second one that finds
/// nothing.
#[track_caller]
fn rehearse_run_and_run_again(scene: &Scene, part: &str, status_after: i32) -> Value {
    let before = everything_below(scene);
    let rehearsed = scene.json(&["repair", part, "--dry-run"], status_after);
    assert_eq!(everything_below(scene), before, "a dry run changed something");
    let done = scene.json(&["repair", part, "--reason", "test"], status_after);
    assert_eq!(acts(&done), acts(&rehearsed), "{done:#}");
    for action in done["actions"].as_array().unwrap() {
        assert_eq!((&action["done"], &action["error"]), (&json!(true), &Value::Null), "{action:#}");
        assert!(
            !action["reason"].as_str().unwrap().is_empty() && !action["detail"].as_str().unwrap().is_empty()
        );
    }
    assert_eq!(rehearsed["before"], done["before"]);
    let again = scene.json(&["repair", part], status_after);
    assert_eq!((acts(&again).len(), &again["quarantined"]), (0, &json!([])), "{again:#}");
    assert_eq!(again["before"], done["after"]);
    done
}

/// Returns every file of the state directory, with its content, except the jobs' output and the log's shared
/// page, which changes when a process only looks.
fn everything_below(scene: &Scene) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![scene.place.state()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("commit.page") && !path.ends_with("output.log") {
                files.push((path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn nothing_is_to_be_repaired_where_nothing_is_wrong() {
    let scene = Scene::new();
    scene.submit("one", &["--repo", "web"], "true");
    scene.work();
    let report = scene.json(&["repair"], 0);
    assert_eq!(report["parts"], json!(["queue", "jobs", "locks", "webhooks"]));
    assert_eq!((acts(&report).len(), &report["left"]), (0, &json!([])), "{report:#}");
    assert_eq!((&report["before"]["problems"], &report["before"]), (&json!(0), &report["after"]));
    scene.run(&["repair", "webhooks"]).ends_with(0);
    scene.run(&["repair", "nonsense"]).ends_with(2);
}

/// A folder that cannot be listed costs its own part only.
#[test]
fn a_part_that_cannot_be_looked_at_is_left_and_the_others_are_told() {
    let scene = Scene::new();
    scene.submit("one", &[], "true");
    scene.submit("two", &[], "true");
    scene.flip_record("submit", "one");
    std::fs::remove_dir_all(scene.place.state().join("locks")).unwrap();
    std::fs::write(scene.place.state().join("locks"), "no folder").unwrap();
    // Not done: without that folder no change of the queue is prepared. As another user than root it is a folder
    // that may not be listed, and the rest is repaired.
    let report = scene.json(&["repair", "--dry-run"], 3);
    let named: Vec<String> = acts(&report).into_iter().map(|(name, _)| name).collect();
    assert_eq!(named, ["drop-damaged-record", "cover-gap"], "{report:#}");
    let left = &report["left"][0];
    assert_eq!((&left["object"], &left["next"]), (&json!("locks"), &json!("recoveryctl repair locks")));
    assert!(left["reason"].as_str().unwrap().contains("cannot list"), "{left}");
    scene.run(&["repair", "locks", "--dry-run"]).ends_with(1);
}

#[test]
fn the_queues_damage_is_dropped_and_kept_in_quarantine() {
    let scene = Scene::new();
    for id in ["first", "second", "third"] {
        scene.submit(id, &[], "true");
    }
    scene.flip_record("submit", "second");
    let done = rehearse_run_and_run_again(&scene, "queue", 0);
    let names: Vec<String> = acts(&done).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["drop-damaged-record", "cover-gap"]);
    assert_eq!(done["before"]["queue"]["damaged_records"], 1);
    assert_eq!(done["after"]["problems"], 0, "{done:#}");
    assert!(!done["quarantined"].as_array().unwrap().is_empty());
    assert_eq!(scene.json(&["queue", "wal"], 0)["damaged_records"], 0);
    assert_eq!(scene.status("third"), JobStatus::Queued);
}

#[test]
fn damaged_snapshots_are_replaced_and_half_a_record_is_cut() {
    let scene = Scene::new();
    scene.submit("first", &[], "true");
    let mut queue = scene.queue();
    queue.checkpoint().unwrap();
    drop(queue);
    let folder = scene.place.state().join("queue");
    let snapshot = std::fs::read_dir(&folder).unwrap().flatten().map(|e| e.path());
    let snapshot = snapshot.filter(|p| p.to_string_lossy().contains("snapshot")).max().unwrap();
    std::fs::write(&snapshot, "damaged").unwrap();
    let done = rehearse_run_and_run_again(&scene, "queue", 0);
    assert!(acts(&done).iter().any(|(name, _)| name == "replace-snapshot"), "{done:#}");
    assert_eq!(scene.status("first"), JobStatus::Queued);
}

#[test]
fn a_job_that_vanished_and_a_damaged_record_of_one_are_mended() {
    let scene = Scene::new();
    running_alone(&scene, "gone", &[]);
    scene.kill_all_of("gone");
    let record = scene.place.state().join("jobs/gone.job.json");
    std::fs::write(&record, "damaged").unwrap();
    let done = rehearse_run_and_run_again(&scene, "jobs", 0);
    let expected = [("record-crash", "job:gone"), ("write-job-record", "job:gone")];
    assert_eq!(acts(&done), expected.map(|(a, o)| (a.to_owned(), o.to_owned())));
    assert_eq!(scene.status("gone"), JobStatus::Crashed);
    assert_eq!(done["quarantined"].as_array().unwrap().len(), 1, "{done:#}");
}

fn metadata(scene: &Scene) -> std::path::PathBuf {
    scene.place.state().join("locks/web.lock.json")
}

fn token(scene: &Scene) -> u64 {
    scene.json(&["locks", "inspect", "web"], 0)["locks"][0]["token"].as_u64().unwrap()
}

/// The lock of `web`, held by a command.
fn held_by_a_command(scene: &Scene) -> Background {
    let script = "echo $$ > witness/pid; exec sleep 600";
    let lock = Background::start(scene.place.command().args(["lock", "web", "--", "sh", "-c", script]));
    until("the command runs", || !scene.witnessed("pid").is_empty());
    lock
}

#[test]
fn damaged_metadata_of_a_free_lock_frees_it_and_the_number_goes_on() {
    let scene = Scene::new();
    scene.run(&["lock", "web", "--", "true"]).ends_with(0);
    scene.run(&["lock", "web", "--", "true"]).ends_with(0);
    std::fs::write(metadata(&scene), "damaged").unwrap();
    scene.run(&["lock", "web", "--", "true"]).ends_with(12);
    scene.run(&["lock", "other", "--", "true"]).ends_with(0);
    let done = rehearse_run_and_run_again(&scene, "locks", 0);
    assert_eq!(acts(&done), [("free-lock".to_owned(), "lock:web".to_owned())]);
    assert_eq!(done["before"]["locks"], json!({"live": 0, "free": 1, "stale": 0, "unavailable": 1}));
    assert_eq!(done["after"]["locks"], json!({"live": 0, "free": 2, "stale": 0, "unavailable": 0}));
    assert!(scene.quarantined().contains(&b"damaged".to_vec()));
    let ran = scene.run(&["--json", "lock", "web", "--", "true"]).ends_with(0).json();
    assert_eq!(ran["token"], 3);
    let entries = scene.json(&["audit", "--object", "lock:web", "--action", "repair"], 0);
    assert_eq!((&entries["total"], &entries["entries"][0]["reason"]), (&json!(1), &json!("test")));
}

#[test]
fn damaged_metadata_of_a_held_lock_is_restored_from_the_second_copy() {
    let scene = Scene::new();
    let mut lock = held_by_a_command(&scene);
    let before = scene.json(&["locks", "inspect", "web"], 0)["locks"][0]["lock_id"].clone();
    std::fs::write(metadata(&scene), "").unwrap();
    let why = scene.json(&["why", "lock:web"], 0);
    assert_eq!(why["repair"]["action"], "restore-lock-metadata", "{why:#}");
    let done = rehearse_run_and_run_again(&scene, "locks", 0);
    assert_eq!(acts(&done), [("restore-lock-metadata".to_owned(), "lock:web".to_owned())]);
    let after = scene.json(&["locks", "inspect", "web"], 0);
    assert_eq!((&after["locks"][0]["lock_id"], &after["locks"][0]["liveness"]), (&before, &json!("alive")));
    scene.run(&["release", "web"]).ends_with(11);

    // Its command outlives it, and the copy says so too.
    lock.kill();
    std::fs::write(metadata(&scene), "{").unwrap();
    assert_eq!(acts(&scene.json(&["repair", "locks"], 0))[0].0, "restore-lock-metadata");
    scene.run(&["release", "web"]).ends_with(11);
    let pid: u64 = scene.witnessed("pid")[0].parse().unwrap();
    common::Foreign::of(pid).kill();
    std::fs::write(metadata(&scene), "{").unwrap();
    assert_eq!(acts(&scene.json(&["repair", "locks"], 0))[0].0, "free-lock");
    assert_eq!(token(&scene), 1);
}

#[test]
fn a_jobs_lock_is_restored_from_its_sentinel_when_both_copies_are_lost() {
    let scene = Scene::new();
    running_alone(&scene, "holder", &["--repo", "web"]);
    let lock_id = scene.json(&["locks", "inspect", "web"], 0)["locks"][0]["lock_id"].clone();
    std::fs::write(metadata(&scene), "damaged").unwrap();
    // The file is changed in place, as by a fault of the disk: its holder still holds it.
    std::fs::write(scene.place.state().join("locks/web.lock"), "damaged too").unwrap();
    let done = rehearse_run_and_run_again(&scene, "locks", 0);
    assert_eq!(acts(&done), [("restore-lock-metadata".to_owned(), "lock:web".to_owned())]);
    let after = scene.json(&["locks", "inspect", "web"], 0)["locks"][0].clone();
    assert_eq!((&after["lock_id"], &after["job_id"]), (&lock_id, &json!("holder")), "{after:#}");
    assert_eq!(after["token"], 1, "as its command was told: {after:#}");
    scene.run(&["release", "web"]).ends_with(11);
    scene.open_gate("open");
    scene.wait_for_status("holder", JobStatus::Succeeded);
    until("the lock is given back", || scene.json(&["locks", "active"], 0)["total"] == 0);
    let ran = scene.run(&["--json", "lock", "web", "--", "true"]).ends_with(0).json();
    assert!(ran["token"].as_u64() > after["token"].as_u64(), "{ran}");
}

/// A repair of locks; run again while processes come or go, or hide, between its look and what it does.
fn repair_of_locks(scene: &Scene) -> (i32, Value) {
    for _ in 0..20 {
        let ran = scene.run(&["--json", "repair", "locks"]);
        let report = ran.json();
        let of_acts = report["actions"].as_array().unwrap();
        for act in of_acts.iter().filter(|act| act["done"] == false) {
            assert!(act["error"].is_string(), "what was not done says why: {report:#}");
        }
        if of_acts.iter().all(|act| act["done"] == true) {
            return (ran.status, report);
        }
    }
    panic!("processes that hide come and go without end");
}

/// When both copies are lost and there is no job, only a look at all processes could prove that nobody works
/// on the repository.
#[test]
fn without_any_copy_a_lock_is_freed_by_proof_or_left_to_the_operator() {
    let scene = Scene::new();
    scene.run(&["lock", "web", "--", "true"]).ends_with(0);
    std::fs::write(metadata(&scene), "damaged").unwrap();
    std::fs::write(scene.place.state().join("locks/web.lock"), "damaged too").unwrap();
    let (status, report) = repair_of_locks(&scene);
    match status {
        0 => assert_eq!(acts(&report), [("free-lock".to_owned(), "lock:web".to_owned())]),
        3 => {
            // A process may be outside of this process namespace, or may not be examined.
            assert_eq!((acts(&report).len(), &report["left"][0]["object"]), (0, &json!("lock:web")));
            assert_eq!(report["left"][0]["next"], "recoveryctl release web --force");
            scene.run(&["release", "web"]).ends_with(12);
            scene.run(&["release", "web", "--force", "--yes"]).ends_with(0);
        }
        other => panic!("{other}: {report:#}"),
    }
    let granted = scene.run(&["--json", "lock", "web", "--", "true"]).ends_with(0).json();
    assert!(granted["token"].as_u64().unwrap() > 1, "{granted}");
}

#[test]
fn a_lost_number_is_written_anew() {
    let scene = Scene::new();
    scene.run(&["lock", "web", "--", "true"]).ends_with(0);
    std::fs::write(scene.place.state().join("locks/web.lock"), "damaged").unwrap();
    let done = rehearse_run_and_run_again(&scene, "locks", 0);
    assert_eq!(acts(&done), [("write-fencing-number".to_owned(), "lock:web".to_owned())]);
    std::fs::write(metadata(&scene), "damaged").unwrap();
    scene.json(&["repair", "locks"], 0);
    let granted = scene.run(&["--json", "lock", "web", "--", "true"]).ends_with(0).json();
    assert_eq!(granted["token"], 2);
}

/// A job of another machine: neither life nor death can be proven.
fn of_another_machine(scene: &Scene, id: &str) {
    running_alone(scene, id, &["--repo", "web"]);
    scene.kill_all_of(id);
    for file in ["sentinel.json", "command.json"] {
        let path = scene.job_file(id, file);
        let mut document = scene::read_json(&path);
        document["host"]["boot_id"] = json!("another boot");
        document["host"]["machine_id"] = json!("another machine");
        std::fs::write(&path, document.to_string()).unwrap();
    }
    let path = metadata(scene);
    let mut document = scene::read_json(&path);
    document["host"]["boot_id"] = json!("another boot");
    document["host"]["machine_id"] = json!("another machine");
    std::fs::write(&path, document.to_string()).unwrap();
}

#[test]
fn what_may_live_elsewhere_is_settled_by_the_operator_only() {
    let scene = Scene::new();
    of_another_machine(&scene, "far");
    scene.recover().names("job-liveness-unknown").names("lock-unavailable");
    let report = scene.json(&["repair"], 3);
    assert_eq!(acts(&report).len(), 0, "{report:#}");
    let left: Vec<&str> =
        report["left"].as_array().unwrap().iter().filter_map(|l| l["object"].as_str()).collect();
    assert_eq!(left, ["job:far", "lock:web"]);
    assert_eq!(report["left"][0]["next"], "recoveryctl repair jobs --assume-dead far --reason …");
    let stale = scene.json(&["locks", "detect-stale", "--release"], 0);
    assert_eq!(
        (&stale["stale"], &stale["unknown"][0]["repository"]),
        (&json!([]), &json!("web")),
        "{stale:#}"
    );
    scene.run(&["release", "web"]).ends_with(12);
    scene.run(&["resume", "far"]).ends_with(1);

    let words = ["repair", "jobs", "--assume-dead", "far"];
    scene.run(&words).ends_with(2);
    let with_reason = [&words[..], &["--reason", "the machine was scrapped"]].concat();
    scene.run(&with_reason).ends_with(16);
    assert_eq!(scene.status("far"), JobStatus::Running);
    let done = scene.json(&[&with_reason[..], &["--yes"]].concat(), 0);
    assert_eq!(done["assumed_dead"], json!([{"job_id": "far", "outcome": "crashed"}]));
    assert_eq!(scene.status("far"), JobStatus::Crashed);
    let entries = scene.json(&["audit", "--object", "job:far", "--action", "end"], 0);
    assert_eq!(entries["entries"][0]["reason"], "the machine was scrapped", "{entries:#}");

    scene.json(&["release", "web", "--force", "--yes", "--reason", "scrapped"], 0);
    scene.run(&["lock", "web", "--", "true"]).ends_with(0);
    scene.run(&["resume", "far"]).ends_with(0);
}

#[test]
fn a_job_that_lives_is_never_declared_dead() {
    let scene = Scene::new();
    running_alone(&scene, "alive", &[]);
    let words = ["repair", "jobs", "--assume-dead", "alive", "--reason", "I think so", "--yes"];
    assert_eq!(scene.json(&words, 11)["error"]["code"], "job-still-alive");
    kill(scene.supervisor_of("alive"));
    assert_eq!(scene.json(&words, 11)["error"]["code"], "job-still-alive", "its command lives on");
    scene.run(&["repair", "jobs", "--assume-dead", "nobody", "--reason", "x", "--yes"]).ends_with(5);
    scene.run(&["repair", "locks", "--assume-dead", "alive", "--reason", "x", "--yes"]).ends_with(2);
    assert_eq!(scene.status("alive"), JobStatus::Running);
}

/// A daemon that takes jobs does not hinder a repair, and is not disturbed; another repair or a recovery
/// does.
#[test]
fn a_repair_goes_beside_a_daemon_and_not_beside_a_recovery() {
    let scene = Scene::new();
    for id in ["first", "second", "third"] {
        scene.submit(id, &["--repo", "web"], GATED);
    }
    scene.flip_record("submit", "second");
    let lock = scene.dir().paths.recovery_lock();
    let held = recovery::durable::FileLock::try_acquire(&recovery::durable::Disk::real(), &lock).unwrap();
    let error = scene.json(&["repair", "--lock-wait", "100ms"], 11);
    assert_eq!(error["error"]["code"], "recovery-under-way");
    drop(held);
    let _daemon = scene.daemon(2);
    scene.wait_for_witness("first");
    scene.json(&["repair"], 0);
    scene.open_gate("open");
    scene.wait_for_status("first", JobStatus::Succeeded);
    scene.wait_for_status("third", JobStatus::Succeeded);
    scene.json(&["locks", "detect-stale"], 0);
}
