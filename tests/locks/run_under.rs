//! Commands that run under a lock.

use super::bench::{Bench, LONG, REPOSITORY, until};
use super::other::Other;
use recovery::locks::{
    JobLiveness, LOCK_ID_VARIABLE, LockOutcome, LockRefused, LockVerdict, ReleaseRefused, RunUnderError,
    mark_variable, run_under,
};
use recovery::system::{end_process, marked_processes};
use std::ffi::OsString;

#[test]
fn a_command_that_outlives_its_lock_process_keeps_the_lock() {
    let bench = Bench::new();
    let started = bench.file("started");
    let script = format!("echo x > '{}'; sleep 600 & wait", started.display());
    let other = Other::start(&bench, &["run", "sh", "-c", &script]);
    until("the command runs", || started.exists());
    let mark = format!("{LOCK_ID_VARIABLE}={}", bench.metadata().lock_id);
    other.kill();
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Live);
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Kept));
    assert!(matches!(bench.take(), Err(LockRefused::Held { .. })));
    assert!(matches!(bench.release(None, false), Err(ReleaseRefused::HeldByLiveOwner { .. })));
    until("the command is gone", || {
        let (left, _) = marked_processes(&[&mark], None);
        for process in &left {
            end_process(*process, 5_000).unwrap();
        }
        left.is_empty()
    });
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Stale);
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Released));
}

#[test]
fn a_lock_taken_inside_another_does_not_hide_the_outer_ones_mark() {
    let bench = Bench::new();
    let started = bench.file("started");
    let script = format!("{LOCK_ID_VARIABLE}=another sh -c \"echo x > '{}'; sleep 600\"", started.display());
    let other = Other::start(&bench, &["run", "sh", "-c", &script]);
    until("the command runs", || started.exists());
    let mark = format!("{}=1", mark_variable(&bench.metadata().lock_id));
    let (outer, _) = marked_processes(&[&format!("{LOCK_ID_VARIABLE}={}", bench.metadata().lock_id)], None);
    other.kill();
    for process in outer {
        end_process(process, 5_000).unwrap();
    }
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Live);
    until("the command is gone", || {
        let (left, _) = marked_processes(&[&mark], None);
        for process in &left {
            end_process(*process, 5_000).unwrap();
        }
        left.is_empty()
    });
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Stale);
}

#[test]
fn a_command_runs_under_the_lock_and_its_status_comes_back() {
    let bench = Bench::new();
    let seen = bench.file("seen");
    let run = |script: &str| {
        let command: Vec<OsString> = ["sh", "-c", script].iter().map(OsString::from).collect();
        run_under(&bench.dir, REPOSITORY, &command, LONG, &|_, _| JobLiveness::Unknown, &|_| {}).unwrap()
    };
    let script = "echo \"$RECOVERYCTL_LOCK_ID $RECOVERYCTL_LOCK_TOKEN $RECOVERYCTL_REPOSITORY\"";
    let ran = run(&format!("{script} > '{}'; exit 7", seen.display()));
    assert_eq!((ran.status, ran.token.get()), (7, 1));
    ran.given_back.unwrap();
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), format!("{} 1 {REPOSITORY}\n", ran.lock_id));
    assert_eq!(run("kill -TERM $$").status, 143);
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Free);
    let missing = [OsString::from("/nowhere/at-all")];
    let refused = run_under(&bench.dir, REPOSITORY, &missing, LONG, &|_, _| JobLiveness::Unknown, &|_| {});
    assert!(matches!(refused, Err(RunUnderError::Start { .. })), "{refused:?}");
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Free, "given back all the same");
}
