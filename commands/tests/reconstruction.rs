//! Jobs whose record was lost are reconstructed from everything else that is left, in every combination.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests damage files.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use recovery::queue::JobStatus;
use serde_json::{Value, json};

use crate::crash::scene::{Scene, kill};

/// What may be left in a workspace: the file, and how `reconstructed` calls it.
const LEFT: [(&str, &str); 6] = [
    ("sentinel.json", "sentinel"),
    ("command.json", "command record"),
    ("exit.json", "exit file"),
    ("output.log", "output"),
    ("checkpoint", "checkpoint"),
    ("web", "git repository web: HEAD"),
];
const SENTINEL: usize = 0;
const EXIT: usize = 2;

/// What happened to the record.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Record {
    Whole,
    Lost,
    Damaged,
}

/// Prints, saves its progress, works in a git repository, and fails.
const SCRIPT: &str = "echo printed; echo half > checkpoint.new; mv checkpoint.new \"$RECOVERYCTL_CHECKPOINT\"; \
                      cp -r \"$W/web\" web; exit 3";

/// A case: its job's id tells which.
struct Case {
    id: String,
    record: Record,
    left: [bool; 6],
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for record in [Record::Whole, Record::Lost, Record::Damaged] {
        for bits in 0..64u32 {
            let left = std::array::from_fn(|n| bits & (1 << n) != 0);
            cases.push(Case { id: format!("{record:?}-{bits:06b}"), record, left });
        }
    }
    cases
}

fn git(at: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.current_dir(at).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments);
    let ran = git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().expect("git, which reconstruction asks too");
    assert!(ran.status.success(), "{arguments:?}: {ran:?}");
}

/// All cases' jobs have run, each in its own workspace.
fn all_have_run() -> Scene {
    let scene = Scene::new();
    let web = scene.witness("web");
    std::fs::create_dir(&web).unwrap();
    git(&web, &["init", "-q", "-b", "night"]);
    std::fs::write(web.join("file"), "one").unwrap();
    git(&web, &["add", "."]);
    git(&web, &["commit", "-q", "-m", "first"]);
    std::fs::write(web.join("file"), "two").unwrap();
    std::fs::write(web.join("new"), "new").unwrap();
    let env = BTreeMap::from([("W", scene.place.path("witness").display().to_string())]);
    let line = |case: &Case| json!({ "id": case.id, "command": ["/bin/sh", "-c", SCRIPT], "env": env });
    let lines: Vec<String> = cases().iter().map(|case| line(case).to_string()).collect();
    let file = scene.place.write("jobs.jsonl", &lines.join("\n"));
    scene.run(&["submit", "--from", file.to_str().unwrap()]).ends_with(0);
    scene.work();
    assert!(scene.recover().codes().is_empty());
    scene
}

/// Removes everything of a job except what the case leaves.
fn take_away(scene: &Scene, case: &Case) {
    for ((file, _), is_left) in LEFT.iter().zip(case.left) {
        let path = scene.job_file(&case.id, file);
        match (is_left, path.is_dir()) {
            (true, _) => assert!(path.exists(), "{}", path.display()),
            (false, true) => std::fs::remove_dir_all(path).unwrap(),
            (false, false) => std::fs::remove_file(path).unwrap(),
        }
    }
    let record = scene.place.state().join(format!("jobs/{}.job.json", case.id));
    match case.record {
        Record::Whole => {}
        Record::Lost => std::fs::remove_file(record).unwrap(),
        Record::Damaged => {
            // The text is still JSON: only its checksum shows the damage.
            let text = std::fs::read_to_string(&record).unwrap();
            assert!(text.contains("\"exit_code\":3"));
            std::fs::write(record, text.replace("\"exit_code\":3", "\"exit_code\":0")).unwrap();
        }
    }
}

/// The names of what the case has left, as `reconstructed` tells them.
fn told(case: &Case) -> Vec<&'static str> {
    LEFT.iter().zip(case.left).filter(|(_, is_left)| *is_left).map(|((_, name), _)| *name).collect()
}

#[track_caller]
fn assert_from(case: &Case, shown: &Value, expected: &[&str]) {
    let from: Vec<&str> =
        shown["reconstructed"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert_eq!(from.len(), expected.len(), "{}: {from:?}", case.id);
    for (piece, expected) in from.iter().zip(expected) {
        assert!(piece.starts_with(expected), "{}: {from:?}", case.id);
    }
    if let Some(git) = from.iter().find(|piece| piece.starts_with("git")) {
        assert!(git.ends_with(", branch night, 2 uncommitted changes"), "{git}");
    }
}

/// The queue knows every job, so only their records are written again.
#[test]
fn what_the_queue_knows_is_written_anew_whatever_else_is_left() {
    let scene = all_have_run();
    cases().iter().for_each(|case| take_away(&scene, case));
    let recovered = scene.recover();
    recovered.names("job-record-missing").names("job-record-damaged");
    let codes = recovered.codes();
    let count = |code: &str| codes.iter().filter(|c| *c == code).count();
    assert_eq!((count("job-record-missing"), count("job-record-damaged"), codes.len()), (64, 64, 128));
    for case in cases() {
        let shown = scene.json(&["jobs", "show", &case.id], 0);
        assert_eq!((&shown["status"], &shown["exit_code"]), (&json!("failed"), &json!(3)), "{}", case.id);
        assert_eq!(shown["command"][2], SCRIPT);
        let expected: &[&str] = if case.record == Record::Whole { &[] } else { &["queue log"] };
        assert_from(&case, &shown, expected);
    }
    assert!(scene.recover().codes().is_empty(), "what was mended stays mended");
}

/// Log and snapshots are gone.
#[test]
fn what_the_queue_lost_comes_back_from_record_or_workspace() {
    let scene = all_have_run();
    cases().iter().for_each(|case| take_away(&scene, case));
    std::fs::remove_dir_all(scene.place.state().join("queue")).unwrap();
    let recovered = scene.recover();
    let codes = recovered.codes();
    let count = |code: &str| codes.iter().filter(|c| *c == code).count();
    assert_eq!(count("queue-rebuilt-from-job-records"), 64);
    assert_eq!((count("job-record-damaged"), count("job-lost")), (63, 1));
    assert_eq!(count("job-reconstructed"), 2 * 63, "all but those of which nothing is left");
    for case in cases() {
        if case.record == Record::Whole {
            let shown = scene.json(&["jobs", "show", &case.id], 0);
            assert_eq!((&shown["status"], &shown["exit_code"]), (&json!("failed"), &json!(3)), "{}", case.id);
            assert_from(&case, &shown, &["job record"]);
        } else if case.left.contains(&true) {
            assert_rebuilt(&scene, &case);
        } else {
            scene.run(&["jobs", "show", &case.id]).ends_with(5);
        }
    }
    assert!(scene.recover().codes().iter().all(|c| c == "job-crashed"), "what was mended stays mended");
    assert_eq!(scene.json(&["work", "--once"], 0)["started"].as_array().map(Vec::len), Some(0));
}

fn assert_rebuilt(scene: &Scene, case: &Case) {
    let shown = scene.json(&["jobs", "show", &case.id], 0);
    assert_from(case, &shown, &told(case));
    let ended = (json!("failed"), json!(3));
    let crashed = (json!("crashed"), Value::Null);
    let expected = if case.left[EXIT] { ended } else { crashed };
    assert_eq!((shown["status"].clone(), shown["exit_code"].clone()), expected, "{}", case.id);
    let command = shown["command"].as_array().map_or(0, Vec::len);
    assert_eq!(command, if case.left[SENTINEL] { 3 } else { 0 }, "{}", case.id);
    let rehearsed = ["resume", &case.id, "--dry-run"];
    if case.left[SENTINEL] {
        assert_eq!(scene.json(&rehearsed, 0)["resumed"][0]["attempt"], 2, "{}", case.id);
    } else {
        assert_eq!(scene.json(&rehearsed, 1)["refused"][0]["code"], "job-command-unknown", "{}", case.id);
    }
    // The record says it too, and proves itself whole.
    let record = scene.place.state().join(format!("jobs/{}.job.json", case.id));
    let record: Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    assert_eq!(record["course"]["reconstructed"], shown["reconstructed"], "{}", case.id);
    assert_eq!((record["version"].as_u64(), record["checksum"].as_str().map(str::len)), (Some(2), Some(8)));
}

/// Log and record are lost while the job runs: it is re-attached, ends, and its end is recorded.
#[test]
fn a_running_job_that_everybody_forgot_is_re_attached() {
    let scene = Scene::new();
    let daemon = scene.daemon(2);
    let script = "echo began >> $W/lives; until [ -e $W/open ]; do sleep 0.02; done; exit 7";
    scene.submit("lives", &["--repo", "web"], script);
    scene.wait_for_witness("lives");
    daemon.kill();
    std::fs::remove_dir_all(scene.place.state().join("queue")).unwrap();
    std::fs::remove_file(scene.place.state().join("jobs/lives.job.json")).unwrap();
    let recovered = scene.recover();
    recovered.names("job-reconstructed");
    assert_eq!(recovered.reattachment()["reattached"], 1);
    let shown = scene.json(&["jobs", "show", "lives"], 0);
    assert_eq!((&shown["status"], &shown["repository"]), (&json!("running"), &json!("web")));
    scene.open_gate("open");
    scene.wait_for_status("lives", JobStatus::Failed);
    assert_eq!(scene.job("lives").run_state().exit_code, Some(7));
    assert_eq!(scene.witnessed("lives"), ["began"]);
}

/// No file shows the attempt of a living job: the job is left alone until it has ended.
#[test]
fn a_process_whose_attempt_nothing_tells_is_waited_for() {
    let scene = Scene::new();
    let daemon = scene.daemon(2);
    scene.submit("lives", &[], "echo printed; echo began >> $W/lives; exec sleep 600");
    scene.wait_for_witness("lives");
    daemon.kill();
    let (supervisor, command) = (scene.supervisor_of("lives"), scene.command_of("lives"));
    kill(supervisor);
    std::fs::remove_dir_all(scene.place.state().join("queue")).unwrap();
    std::fs::remove_file(scene.place.state().join("jobs/lives.job.json")).unwrap();
    for file in ["sentinel.json", "command.json"] {
        std::fs::remove_file(scene.job_file("lives", file)).unwrap();
    }
    scene.recover().names("job-orphaned-process");
    scene.run(&["jobs", "show", "lives"]).ends_with(5);
    kill(command);
    scene.recover().names("job-reconstructed");
    assert_eq!(scene.status("lives"), JobStatus::Crashed);
}

/// A damaged submission of a job that never began: nothing but its name is left.
#[test]
fn a_job_that_only_a_damaged_record_knew_is_named() {
    let scene = Scene::new();
    for id in ["kept", "lost"] {
        scene.submit(id, &[], "true");
    }
    scene.flip_record("submit", "lost");
    let recovered = scene.recover();
    recovered.names("job-lost").names("log-record-damaged");
    let findings = recovered.document.to_string();
    assert!(findings.contains("\"object\":\"job:lost\"") && !findings.contains("\"object\":\"job:kept\""));
    assert!(scene.recover().codes().is_empty());
}

/// A job whose submission is damaged in the middle of the log, and whose record is there, keeps its place.
#[test]
fn a_waiting_job_comes_back_to_its_place() {
    let scene = Scene::new();
    for id in ["one", "two", "three"] {
        scene.submit(id, &[], "true");
    }
    scene.recover(); // Writes their records.
    scene.flip_record("submit", "two");
    // The snapshots know it too.
    for entry in std::fs::read_dir(scene.place.state().join("queue")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("snapshot-") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    scene.recover().names("queue-rebuilt-from-job-records");
    let waiting: Vec<String> = scene.queue().state().queued().map(|j| j.id.to_string()).collect();
    assert_eq!(waiting, ["one", "two", "three"]);
}

#[test]
fn damage_in_the_files_of_jobs_that_are_over_is_named_and_kept() {
    let scene = Scene::new();
    scene.submit("twice", &[], "[ \"$RECOVERYCTL_ATTEMPT\" = 2 ]");
    scene.work();
    scene.run(&["resume", "twice"]).ends_with(0);
    scene.work();
    assert_eq!(scene.status("twice"), JobStatus::Succeeded);
    let damaged = ["exit.json", "sentinel.json", "1/exit.json"];
    for file in damaged {
        std::fs::write(scene.job_file("twice", file), format!("{{ {file}")).unwrap();
    }
    let recovered = scene.recover();
    let named = recovered.codes().iter().filter(|c| *c == "job-file-damaged").count();
    assert_eq!(named, 3, "{:#}", recovered.document);
    for file in damaged {
        assert!(scene.quarantined().contains(&format!("{{ {file}").into_bytes()), "{file}");
        assert!(!scene.job_file("twice", file).exists());
    }
    assert!(scene.recover().codes().is_empty());
    let shown = scene.json(&["jobs", "show", "twice"], 0);
    assert_eq!((&shown["status"], &shown["exit_code"]), (&json!("succeeded"), &json!(0)));
}

/// Records of before there were checksums are read, and bring jobs back.
#[test]
fn a_record_without_a_checksum_still_counts() {
    let scene = Scene::new();
    scene.submit("old", &[], "true");
    scene.recover();
    let path = scene.place.state().join("jobs/old.job.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let (_, body) = text.split_once("\",\"job_id\"").unwrap();
    std::fs::write(&path, format!("{{\"version\":1,\"job_id\"{body}")).unwrap();
    std::fs::remove_dir_all(scene.place.state().join("queue")).unwrap();
    scene.recover().names("queue-rebuilt-from-job-records");
    assert_eq!(scene.status("old"), JobStatus::Queued);
    scene.work();
    assert_eq!(scene.status("old"), JobStatus::Succeeded);
}
