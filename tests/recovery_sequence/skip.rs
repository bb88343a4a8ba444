//! Skipping: before a phase, while it runs, while it waits for its next try.

use std::sync::{Arc, Mutex};

use recovery::recovery::{
    Phase, PhaseStatus, RecoveryOutcome, RequestError, RunError, RunOptions, read_current, request_skip, run,
};

use super::{
    broken, endless_pauses, fine, graph, noting, options, run_all, state, status, until_interrupted, wait_for,
};

const KNOWN: &[&str] = &["startup", "locks", "jobs"];

#[test]
fn skipped_at_the_start_and_what_waits_for_it_goes_on() {
    let (_folder, dir) = state();
    let notes = Arc::new(Mutex::new(Vec::new()));
    let phases = graph(vec![noting("locks", &notes), noting("jobs", &notes).after(&["locks"])]);
    let record = run(&dir, &phases, &RunOptions { skip: vec!["locks".into()], ..options() }).unwrap();
    assert_eq!(*notes.lock().unwrap(), ["jobs"]);
    let locks = record.snapshot.phase("locks").unwrap();
    assert_eq!((locks.status, locks.attempts), (PhaseStatus::Skipped, 0));
    assert_eq!(locks.findings[0].code, "phase-skipped");
    assert_eq!(record.snapshot.outcome, RecoveryOutcome::Completed);
}

#[test]
fn an_unknown_phase_cannot_be_skipped() {
    let (_folder, dir) = state();
    let phases = graph(vec![Phase::new("locks", "locks", fine)]);
    let error = run(&dir, &phases, &RunOptions { skip: vec!["../x".into()], ..options() }).unwrap_err();
    assert!(matches!(error, RunError::Skip(RequestError::UnknownPhase { .. })), "{error}");
    assert_eq!(error.to_string(), "there is no phase '../x'; there are: locks");
    assert!(request_skip(&dir, KNOWN, "../x", "uid:0 root", None).is_err());
    assert_eq!(requests(&dir), 0);
}

#[test]
fn a_skipped_critical_phase_leaves_the_recovery_degraded() {
    let (_folder, dir) = state();
    let phases = graph(vec![Phase::new("jobs", "jobs", fine).critical()]);
    let record = run(&dir, &phases, &RunOptions { skip: vec!["jobs".into()], ..options() }).unwrap();
    assert_eq!(record.snapshot.outcome, RecoveryOutcome::Degraded);
}

#[test]
fn a_request_made_before_counts_for_the_next_run_and_only_for_it() {
    let (_folder, dir) = state();
    let answer = request_skip(&dir, KNOWN, "locks", "uid:0 root", Some("it hangs")).unwrap();
    assert_eq!((answer.accepted, answer.was), (true, PhaseStatus::Pending));
    let record = run_all(&dir, vec![Phase::new("locks", "locks", fine)]);
    assert_eq!(status(&record, "locks"), PhaseStatus::Skipped);
    let message = record.snapshot.phase("locks").unwrap().message.clone();
    assert_eq!(message.as_deref(), Some("skipped by uid:0 root: it hangs"));
    assert_eq!(requests(&dir), 0);
    let again = run_all(&dir, vec![Phase::new("locks", "locks", fine)]);
    assert_eq!(status(&again, "locks"), PhaseStatus::Succeeded);
}

#[test]
fn skipped_while_it_runs() {
    let (_folder, dir) = state();
    let phases = graph(vec![
        Phase::new("startup", "items", fine),
        Phase::new("locks", "locks", until_interrupted).after(&["startup"]),
        Phase::new("jobs", "jobs", fine).after(&["locks"]),
    ]);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| run(&dir, &phases, &options()).unwrap());
        wait_for_status(&dir, "locks", PhaseStatus::Running);
        let late = request_skip(&dir, KNOWN, "startup", "uid:0 root", None).unwrap();
        assert_eq!((late.accepted, late.was), (false, PhaseStatus::Succeeded));
        let answer = request_skip(&dir, KNOWN, "locks", "uid:0 root", None).unwrap();
        assert_eq!((answer.accepted, answer.was), (true, PhaseStatus::Running));
        let record = running.join().unwrap();
        assert_eq!(status(&record, "locks"), PhaseStatus::Skipped);
        assert_eq!(status(&record, "jobs"), PhaseStatus::Succeeded);
        assert_eq!(status(&record, "startup"), PhaseStatus::Succeeded);
    });
    assert_eq!(requests(&dir), 0);
}

#[test]
fn skipped_while_it_waits_for_its_next_try() {
    let (_folder, dir) = state();
    let phases = graph(vec![Phase::new("locks", "locks", broken)]);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| run(&dir, &phases, &endless_pauses()).unwrap());
        wait_for_status(&dir, "locks", PhaseStatus::Running);
        assert!(request_skip(&dir, KNOWN, "locks", "uid:0 root", None).unwrap().accepted);
        assert_eq!(status(&running.join().unwrap(), "locks"), PhaseStatus::Skipped);
    });
}

#[test]
fn a_request_file_that_cannot_be_read_still_says_what_is_asked() {
    let (_folder, dir) = state();
    std::fs::write(dir.paths.recovery_requests().join("skip-locks.json"), "").unwrap();
    std::fs::write(dir.paths.recovery_requests().join("skip-nothing.json"), "").unwrap();
    let record = run_all(&dir, vec![Phase::new("locks", "locks", fine)]);
    assert_eq!(status(&record, "locks"), PhaseStatus::Skipped);
}

fn wait_for_status(dir: &recovery::state::StateDir, phase: &str, status: PhaseStatus) {
    let is_there = || read_current(dir).and_then(|s| Some(s.phase(phase)?.status == status)) == Some(true);
    wait_for(phase, is_there);
}

fn requests(dir: &recovery::state::StateDir) -> usize {
    std::fs::read_dir(dir.paths.recovery_requests()).unwrap().count()
}
