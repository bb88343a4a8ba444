//! Jobs with real processes: re-attached, ended, or strangers.

use std::process::{Command, Stdio};

use recovery::queue::JobStatus;
use recovery::system::{ProcessIdentity, process_table};
use serde_json::json;

use super::workspace::{Legacy, Process, codes, entry, id};

const WAITS: &str = "while :; do sleep 60; done\n";

#[test]
fn a_living_script_is_running_whatever_the_pid_file_says() {
    let legacy = Legacy::new();
    let processes: Vec<Process> = (1..=5).map(|n| legacy.start(n, WAITS)).collect();
    let pid = |n: usize| processes[n - 1].pid();
    legacy.job(1, 6, &[]);
    legacy.put(1, "pid", &format!("  {}\r\n", pid(1)));
    legacy.job(2, 6, &[("ClaudeProcessId", json!(pid(2)))]); // no PID file
    legacy.job(3, 6, &[]);
    legacy.put(3, "pid", "1\n"); // found by its command line
    legacy.write(&legacy.file(4), ""); // a damaged job file
    legacy.put(4, "pid", &pid(4).to_string());
    legacy.job(5, 5, &[]); // the record was not brought up to date: must not be started again
    legacy.put(5, "pid", &pid(5).to_string());
    let report = legacy.import();
    for n in 1..=5 {
        let job = entry(&report, n);
        let process = &processes[n as usize - 1];
        assert_eq!((job.status, job.pid), (JobStatus::Running, Some(process.pid())), "job {n}: {job:?}");
        assert!(process.lives());
        let adopted = &legacy.record(n)["course"]["adopted"];
        let identity = ProcessIdentity::of(process.pid()).unwrap();
        assert_eq!(adopted["start_time"], identity.start_time);
        assert_eq!(adopted["output"], json!(legacy.path(n, "output")));
        assert!(!adopted["boot_id"].as_str().unwrap().is_empty());
    }
    assert!(entry(&report, 4).reconstructed.as_ref().unwrap().contains(&"process".to_owned()));
}

#[test]
fn an_exit_line_counts_more_than_a_living_process() {
    let legacy = Legacy::new();
    let process = legacy.start(1, WAITS);
    legacy.job(1, 6, &[]);
    legacy.put(1, "pid", &process.pid().to_string());
    legacy.put(1, "output", "done\nExit code: 0\n");
    let report = legacy.import();
    assert_eq!(entry(&report, 1).status, JobStatus::Succeeded);
    assert_eq!(codes(&report), ["import-process-alive"]);
    assert!(process.lives());
}

#[test]
fn strangers_and_zombies_are_not_the_job() {
    let legacy = Legacy::new();
    let quiet = |command: &mut Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    legacy.put(1, "sh", WAITS);
    legacy.put(2, "sh", "exit 0");
    legacy.put(3, "sh", WAITS);
    let reader = Process::started(quiet(Command::new("tail").arg("-f").arg(legacy.path(1, "sh"))));
    legacy.job(1, 6, &[]);
    legacy.put(1, "pid", &reader.pid().to_string());
    let zombie = quiet(Command::new("sh").arg(legacy.path(2, "sh")));
    while ProcessIdentity::of(zombie.id()).is_some() {
        std::thread::yield_now();
    }
    legacy.job(2, 6, &[]);
    legacy.put(2, "pid", &zombie.id().to_string());
    legacy.job(3, 6, &[]);
    legacy.put(3, "pid", &std::process::id().to_string());
    let report = legacy.import();
    for n in 1..=3 {
        assert_eq!(entry(&report, n).status, JobStatus::Crashed, "job {n}");
    }
    assert!(reader.lives());
    let mut zombie = zombie;
    zombie.wait().unwrap();
}

#[test]
fn a_cancelling_job_loses_its_process_and_all_that_it_started() {
    let legacy = Legacy::new();
    let process = legacy.start(1, "sleep 61 &\nsleep 62 &\nwait\n");
    let in_session = || process_table().iter().filter(|p| p.session == process.pid()).count();
    while in_session() < 3 {
        std::thread::yield_now();
    }
    legacy.job(1, 11, &[("CancelReason", json!("by user"))]);
    legacy.put(1, "pid", &process.pid().to_string());
    // A stranger's PID is in the other one's file.
    let stranger = Process::started(Command::new("sleep").arg("60").spawn().unwrap());
    legacy.job(2, 11, &[]);
    legacy.put(2, "pid", &stranger.pid().to_string());
    let report = legacy.import();
    assert_eq!(entry(&report, 1).status, JobStatus::Cancelled);
    assert_eq!(entry(&report, 1).reason.as_deref(), Some("by user"));
    assert_eq!(entry(&report, 2).status, JobStatus::Cancelled);
    assert!(!process.lives());
    assert_eq!(in_session(), 0);
    assert!(stranger.lives());
}

#[test]
fn a_folder_without_a_job_file_whose_script_lives_is_told_apart() {
    let legacy = Legacy::new();
    let process = legacy.start(1, WAITS);
    legacy.put(1, "pid", &process.pid().to_string());
    let report = legacy.import();
    assert!(report.jobs.is_empty());
    assert_eq!((report.orphans[0].id.clone(), report.orphans[0].live_pid), (id(1), Some(process.pid())));
    assert_eq!(codes(&report), ["import-job-directory-without-record", "import-process-alive"]);
    assert!(process.lives());
}

#[test]
fn a_script_that_became_another_program_is_known_by_its_output() {
    let legacy = Legacy::new();
    legacy.put(1, "sh", "true");
    legacy.put(1, "output", "begun\n");
    let output = std::fs::OpenOptions::new().append(true).open(legacy.path(1, "output")).unwrap();
    let mut command = Command::new("sleep");
    command.arg("60").current_dir(legacy.path(1, "")).stdout(output).stdin(Stdio::null());
    let process = Process::started(command.spawn().unwrap());
    let elsewhere =
        Process::started(Command::new("sleep").arg("60").current_dir(legacy.path(1, "")).spawn().unwrap());
    legacy.job(1, 6, &[]);
    legacy.put(1, "pid", &process.pid().to_string());
    legacy.job(2, 6, &[]);
    legacy.put(2, "pid", &elsewhere.pid().to_string());
    let report = legacy.import();
    assert_eq!(entry(&report, 1).status, JobStatus::Running);
    assert_eq!(entry(&report, 2).status, JobStatus::Crashed);
}
