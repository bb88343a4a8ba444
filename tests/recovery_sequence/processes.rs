//! Several processes: one recovery at a time, readers, kills.
//!
//! The other process is this test program itself, told by its environment to run a sequence.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use recovery::durable::{Disk, FileLock};
use recovery::recovery::{
    Phase, PhaseOutcome, PhaseStatus, RecoveryOutcome, RunError, RunOptions, Snapshot, read_current,
    read_history, request_skip, run,
};
use recovery::state::{Clock, StateDir};

use super::{fine, graph, options, run_all, state, status, until_interrupted, wait_for};

const FOLDER: &str = "RECOVERYCTL_TEST_SEQUENCE_FOLDER";

/// Not a test of its own: what the other process does. Without the variable it has nothing to do.
#[test]
fn other_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let dir = StateDir::open(folder.as_ref(), Disk::real(), Clock::system()).unwrap();
    let phases = graph(vec![
        Phase::new("startup", "items", fine),
        Phase::new("jobs", "jobs", until_interrupted).after(&["startup"]),
    ]);
    run(&dir, &phases, &RunOptions { purpose: "other".into(), ..options() }).unwrap();
}

/// Starts the other process and waits until its second phase runs.
fn start_other(dir: &StateDir) -> Child {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["recovery_sequence::processes::other_process", "--exact"])
        .env(FOLDER, dir.paths.root())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    let at_work = |s: Snapshot| s.pid == pid && s.phase("jobs").unwrap().status == PhaseStatus::Running;
    wait_for("the other process", || read_current(dir).is_some_and(at_work));
    child
}

#[test]
fn a_second_recovery_is_told_who_runs_the_first() {
    let (_folder, dir) = state();
    let mut other = start_other(&dir);
    let phases = graph(vec![Phase::new("a", "items", fine)]);
    match run(&dir, &phases, &options()) {
        Err(RunError::Busy { holder: Some(holder), .. }) => {
            assert_eq!((holder.pid, holder.purpose.as_str()), (other.id(), "other"));
        }
        unexpected => panic!("{unexpected:?}"),
    }
    assert!(request_skip(&dir, &["jobs"], "jobs", "uid:0 root", None).unwrap().accepted);
    assert!(other.wait().unwrap().success());
    let seen = read_current(&dir).unwrap();
    assert_eq!(seen.phase("jobs").unwrap().status, PhaseStatus::Skipped);
    assert_eq!(seen.outcome, RecoveryOutcome::Completed);
}

#[test]
fn after_a_kill_readers_see_aborted_and_a_new_run_starts_anew() {
    let (_folder, dir) = state();
    let mut other = start_other(&dir);
    other.kill().unwrap();
    other.wait().unwrap();
    let left = read_current(&dir).unwrap();
    assert_eq!(left.outcome, RecoveryOutcome::Aborted);
    let answer = request_skip(&dir, &["jobs", "locks"], "locks", "uid:0 root", None).unwrap();
    assert_eq!((answer.accepted, answer.was), (true, PhaseStatus::Pending));
    let phases = vec![Phase::new("locks", "locks", fine), Phase::new("jobs", "jobs", fine)];
    let record = run_all(&dir, phases);
    assert_eq!(record.snapshot.outcome, RecoveryOutcome::Completed);
    assert_eq!(status(&record, "locks"), PhaseStatus::Skipped);
    let outcomes: Vec<_> = read_history(&dir).unwrap().iter().map(|h| (h.recovery_id, h.outcome)).collect();
    let expected = [
        (left.recovery_id, RecoveryOutcome::Aborted),
        (record.snapshot.recovery_id, RecoveryOutcome::Completed),
    ];
    assert_eq!(outcomes, expected);
}

#[test]
fn a_run_killed_after_its_record_was_written_is_not_called_aborted() {
    let (_folder, dir) = state();
    let record = run_all(&dir, vec![Phase::new("a", "items", fine)]);
    // As a kill between the record and the last progress leaves it.
    let mut text = serde_json::to_value(&record.snapshot).unwrap();
    text["outcome"] = "running".into();
    text["pid"] = gone_process().into();
    std::fs::write(dir.paths.recovery_current(), text.to_string()).unwrap();
    std::fs::remove_file(dir.paths.recovery_history()).unwrap();
    assert_eq!(read_current(&dir).unwrap(), record.snapshot);
    run_all(&dir, vec![Phase::new("a", "items", fine)]);
    let history = read_history(&dir).unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(
        (history[0].recovery_id, history[0].outcome),
        (record.snapshot.recovery_id, RecoveryOutcome::Completed)
    );
}

/// The id of a process that is over and reaped.
fn gone_process() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

/// The process cannot be seen from here, but the lock that it holds can be.
#[test]
fn what_another_host_claims_is_believed_while_the_lock_is_held() {
    let (_folder, dir) = state();
    let record = run_all(&dir, vec![Phase::new("a", "items", fine)]);
    let mut text = serde_json::to_value(&record.snapshot).unwrap();
    text["outcome"] = "running".into();
    text["recovery_id"] = "019a0000-0000-7000-8000-000000000000".into();
    text["host"]["boot_id"] = "elsewhere".into();
    text["host"]["machine_id"] = "elsewhere".into();
    std::fs::write(dir.paths.recovery_current(), text.to_string()).unwrap();
    let lock = FileLock::try_acquire(&dir.disk, &dir.paths.recovery_lock()).unwrap();
    assert_eq!(read_current(&dir).unwrap().outcome, RecoveryOutcome::Running);
    drop(lock);
    assert_eq!(read_current(&dir).unwrap().outcome, RecoveryOutcome::Aborted);
    text["host"] = serde_json::to_value(&record.snapshot.host).unwrap();
    std::fs::write(dir.paths.recovery_current(), text.to_string()).unwrap();
    // This process lives, but nobody holds the recovery lock.
    assert_eq!(read_current(&dir).unwrap().outcome, RecoveryOutcome::Aborted);
}

#[test]
fn progress_can_be_read_at_any_moment() {
    let (_folder, dir) = state();
    let over = Arc::new(AtomicBool::new(false));
    let read = Arc::new(AtomicBool::new(false));
    let path = dir.paths.recovery_current();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_for("the first progress", || path.exists());
            while !over.load(Ordering::SeqCst) {
                let text = std::fs::read(&path).unwrap();
                serde_json::from_slice::<Snapshot>(&text).unwrap();
                read.store(true, Ordering::SeqCst);
            }
        });
        let busy = |name| {
            let read = Arc::clone(&read);
            Phase::new(name, "items", move |context| {
                context.total(1_000);
                (0..1_000).for_each(|_| context.advance(1));
                context.message("x".repeat(10_000));
                wait_for("the reader", || read.load(Ordering::SeqCst));
                Ok(PhaseOutcome::default())
            })
        };
        for _ in 0..20 {
            run_all(&dir, vec![busy("a"), busy("b"), busy("c")]);
        }
        over.store(true, Ordering::SeqCst);
    });
}

#[test]
fn progress_that_cannot_be_written_stops_nothing() {
    let (_folder, dir) = state();
    // A folder in the file's place: no replacement is possible, not even for root.
    std::fs::create_dir_all(dir.paths.recovery_current().join("in-the-way")).unwrap();
    let record = run_all(&dir, vec![Phase::new("a", "items", fine)]);
    assert_eq!(status(&record, "a"), PhaseStatus::Succeeded);
    assert!(record.snapshot.findings.iter().any(|f| f.code == "progress-not-written"));
    assert!(read_current(&dir).is_none());
}

#[test]
fn look_at_the_lock_does_not_keep_a_recovery_away() {
    let (_folder, dir) = state();
    run_all(&dir, vec![Phase::new("a", "items", fine)]);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let _ = recovery::durable::is_held(&dir.paths.recovery_lock());
            }
        });
        for _ in 0..20 {
            run_all(&dir, vec![Phase::new("a", "items", fine)]);
        }
        over.store(true, Ordering::SeqCst);
    });
}
