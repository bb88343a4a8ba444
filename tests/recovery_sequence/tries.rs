//! Tries, pauses, panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use recovery::findings::{Finding, Severity, catalogue};
use recovery::recovery::{
    Phase, PhaseError, PhaseOutcome, PhaseStatus, RecoveryOutcome, RunOptions, read_current, request_retry,
    run,
};

use super::{endless_pauses, graph, options, run_all, state, status, wait_for};

/// Fails so many times, then succeeds; counts its tries.
fn fails(times: u32, tries: &Arc<AtomicU32>) -> Phase {
    let tries = Arc::clone(tries);
    Phase::new("locks", "locks", move |context| {
        let number = tries.fetch_add(1, Ordering::SeqCst);
        context.total(10);
        context.advance(3);
        let sentence = format!("Seen in try {number}.");
        context.finding(Finding::new(&catalogue::LOCK_KEPT, "lock:web", sentence));
        if number < times {
            return Err(PhaseError::failed("cannot read the locks", "disk asleep"));
        }
        Ok(PhaseOutcome::with_message("3 locks"))
    })
}

#[test]
fn a_phase_that_recovers_in_a_later_try_has_succeeded() {
    let (_folder, dir) = state();
    let tries = Arc::new(AtomicU32::new(0));
    let record = run_all(&dir, vec![fails(2, &tries)]);
    let phase = record.snapshot.phase("locks").unwrap();
    assert_eq!(
        (phase.status, phase.attempts, phase.done, phase.total),
        (PhaseStatus::Succeeded, 3, 3, Some(10))
    );
    assert_eq!(phase.message.as_deref(), Some("3 locks"));
    // The findings of earlier tries would be reported twice.
    let sentences: Vec<&str> = phase.findings.iter().map(|f| f.sentence.as_str()).collect();
    let retried = "Phase locks of the recovery needed 3 tries; before the last one: cannot read the locks: disk asleep.";
    assert_eq!(sentences, ["Seen in try 2.", retried]);
    assert_eq!(record.snapshot.outcome, RecoveryOutcome::Completed);
}

#[test]
fn after_the_last_pause_it_has_failed_and_says_why() {
    let (_folder, dir) = state();
    let tries = Arc::new(AtomicU32::new(0));
    let record = run_all(&dir, vec![fails(u32::MAX, &tries)]);
    assert_eq!(tries.load(Ordering::SeqCst), 4, "one try, and one after each of three pauses");
    let phase = record.snapshot.phase("locks").unwrap();
    assert_eq!((phase.status, phase.attempts), (PhaseStatus::Failed, 4));
    assert_eq!(phase.message.as_deref(), Some("cannot read the locks: disk asleep"));
    let failed = phase.findings.iter().find(|f| f.code == "phase-failed").unwrap();
    assert_eq!((failed.severity, &*failed.object.to_string()), (Severity::Error, "phase:locks"));
    assert_eq!(failed.next.as_deref(), Some("recoveryctl retry phase locks"));
}

#[test]
fn the_pauses_are_the_ones_asked_for_and_by_default_1_2_and_4_seconds() {
    let (_folder, dir) = state();
    let tries = Arc::new(AtomicU32::new(0));
    let pauses = vec![Duration::from_millis(20), Duration::from_millis(40)];
    let record = run(&dir, &graph(vec![fails(9, &tries)]), &RunOptions { pauses, ..options() }).unwrap();
    assert_eq!(tries.load(Ordering::SeqCst), 3);
    assert!(record.snapshot.duration_ms >= 60, "{} ms", record.snapshot.duration_ms);
    assert_eq!(RunOptions::default().pauses, [1, 2, 4].map(Duration::from_secs));
}

#[test]
fn a_hopeless_failure_is_not_tried_again() {
    let (_folder, dir) = state();
    let phase = Phase::new("a", "items", |_| Err(PhaseError::hopeless("layout is newer", "9 > 1")));
    let record = run(&dir, &graph(vec![phase]), &endless_pauses()).unwrap();
    let phase = record.snapshot.phase("a").unwrap();
    assert_eq!((phase.status, phase.attempts), (PhaseStatus::Failed, 1));
}

#[test]
fn a_panic_is_a_failed_try() {
    let (_folder, dir) = state();
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let once = Phase::new("once", "items", move |_| {
        assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "the floor gave way");
        Ok(PhaseOutcome::default())
    });
    let always = Phase::new("always", "items", |_| panic!("no floor at all"));
    let record = run_all(&dir, vec![once, always]);
    assert_eq!(status(&record, "once"), PhaseStatus::Succeeded);
    let always = record.snapshot.phase("always").unwrap();
    assert_eq!((always.status, always.attempts), (PhaseStatus::Failed, 4));
    assert_eq!(always.message.as_deref(), Some("panicked: no floor at all"));
}

#[test]
fn a_wait_for_the_next_try_can_be_ended_from_another_process() {
    let (_folder, dir) = state();
    let tries = Arc::new(AtomicU32::new(0));
    let phases = graph(vec![fails(1, &tries)]);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| run(&dir, &phases, &endless_pauses()).unwrap());
        let waits = || {
            let message = read_current(&dir).and_then(|s| s.phase("locks")?.message.clone());
            message.is_some_and(|m| m.contains("next try in 1 h"))
        };
        wait_for("the wait for the next try", waits);
        let answer = request_retry(&dir, &["locks"], "locks", "uid:0 root", None).unwrap();
        assert!(answer.accepted);
        assert_eq!(status(&running.join().unwrap(), "locks"), PhaseStatus::Succeeded);
    });
    assert_eq!(tries.load(Ordering::SeqCst), 2);
    let late = request_retry(&dir, &["locks"], "locks", "uid:0 root", None).unwrap();
    assert!(!late.accepted, "no recovery runs");
}
