//! What the failure of one phase does to the others, and what is recorded.

use std::sync::{Arc, Mutex};

use recovery::findings::{Finding, catalogue};
use recovery::recovery::{
    Cancel, DegradedResource, HistoryError, Phase, PhaseOutcome, PhaseStatus, RecoveryOutcome, RunOptions,
    read_current, read_history, read_last, run,
};
use serde_json::json;

use super::{broken, fine, graph, noting, options, run_all, state, status, until_interrupted, wait_for};

#[test]
fn a_critical_failure_stops_the_sequence() {
    let (_folder, dir) = state();
    let notes = Arc::new(Mutex::new(Vec::new()));
    let phases = vec![
        Phase::new("queue", "records", broken).critical(),
        noting("jobs", &notes).after(&["queue"]),
        noting("cleanup", &notes).after(&["jobs"]),
    ];
    let record = run_all(&dir, phases);
    assert_eq!(record.snapshot.outcome, RecoveryOutcome::Failed);
    assert_eq!(status(&record, "queue"), PhaseStatus::Failed);
    assert_eq!(status(&record, "jobs"), PhaseStatus::Blocked);
    assert_eq!(status(&record, "cleanup"), PhaseStatus::Blocked);
    assert!(notes.lock().unwrap().is_empty());
}

#[test]
fn a_failure_that_is_not_critical_degrades_and_the_rest_goes_on() {
    let (_folder, dir) = state();
    let notes = Arc::new(Mutex::new(Vec::new()));
    let record = run_all(
        &dir,
        vec![Phase::new("locks", "locks", broken), noting("cleanup", &notes).after(&["locks"])],
    );
    assert_eq!(record.snapshot.outcome, RecoveryOutcome::Degraded);
    assert_eq!(*notes.lock().unwrap(), ["cleanup"]);
    let degraded: Vec<String> = record.snapshot.degraded_resources().map(|d| d.object.to_string()).collect();
    assert_eq!(degraded, ["phase:locks"]);
}

#[test]
fn a_broken_resource_is_named() {
    let (_folder, dir) = state();
    let web = DegradedResource { object: "lock:web".into(), why: "its metadata is damaged".into() };
    let outcome = PhaseOutcome { degraded: vec![web.clone()], ..PhaseOutcome::default() };
    let record = run_all(&dir, vec![Phase::new("locks", "locks", move |_| Ok(outcome.clone()))]);
    assert_eq!(record.snapshot.outcome, RecoveryOutcome::Degraded);
    assert_eq!(status(&record, "locks"), PhaseStatus::Degraded);
    assert_eq!(record.snapshot.degraded_resources().collect::<Vec<_>>(), [&web]);
}

/// A recovery was called completed although a finding said that acknowledged records were lost.
#[test]
fn a_recovery_that_found_a_loss_is_degraded() {
    let (_folder, dir) = state();
    let lost = Finding::new(&catalogue::LOG_RECORDS_MISSING, "queue", "records 3 to 5 are gone");
    let outcome = PhaseOutcome { findings: vec![lost], ..PhaseOutcome::default() };
    let record = run_all(&dir, vec![Phase::new("queue", "records", move |_| Ok(outcome.clone()))]);
    assert_eq!(record.snapshot.outcome, RecoveryOutcome::Degraded);
}

#[test]
fn a_cancelled_recovery_ends_at_the_next_safe_point() {
    let (_folder, dir) = state();
    let cancel = Cancel::new();
    let cancels = cancel.clone();
    let phases = vec![
        Phase::new("jobs", "jobs", move |context| {
            cancels.cancel();
            until_interrupted(context)
        })
        .critical(),
        Phase::new("cleanup", "jobs", fine).after(&["jobs"]),
    ];
    let record = run(&dir, &graph(phases), &RunOptions { cancel, ..options() }).unwrap();
    assert_eq!(record.snapshot.outcome, RecoveryOutcome::Cancelled);
    assert_eq!(status(&record, "jobs"), PhaseStatus::Failed);
    assert_eq!(status(&record, "cleanup"), PhaseStatus::Blocked);
}

#[test]
fn what_a_recovery_did_is_kept() {
    let (_folder, dir) = state();
    let phase = Phase::new("queue", "records", |context| {
        context.detail("queue", json!({"method": "snapshot", "records_replayed": 17}));
        fine(context)
    });
    let first = run_all(&dir, vec![phase]);
    let last = read_last(&dir).unwrap().unwrap();
    assert_eq!(last, first);
    assert_eq!(last.details["queue"]["records_replayed"], 17);
    assert_eq!(read_current(&dir).unwrap(), first.snapshot);
    let second = run_all(&dir, vec![Phase::new("locks", "locks", broken)]);
    let history = read_history(&dir).unwrap();
    let ids: Vec<_> = history.iter().map(|h| h.recovery_id).collect();
    assert_eq!(ids, [first.snapshot.recovery_id, second.snapshot.recovery_id]);
    assert_eq!((history[1].degraded, history[1].retried, history[1].skipped), (1, 3, 0));
    assert_eq!(history[1].outcome, RecoveryOutcome::Degraded);
}

#[test]
fn the_history_keeps_a_hundred() {
    let (_folder, dir) = state();
    let first = run_all(&dir, vec![Phase::new("a", "items", fine)]).snapshot.recovery_id;
    for _ in 0..100 {
        run_all(&dir, vec![Phase::new("a", "items", fine)]);
    }
    let history = read_history(&dir).unwrap();
    assert_eq!(history.len(), 100);
    assert!(history.iter().all(|h| h.recovery_id != first));
}

#[test]
fn a_damaged_history_costs_only_itself() {
    let (_folder, dir) = state();
    run_all(&dir, vec![Phase::new("a", "items", fine)]);
    std::fs::write(dir.paths.recovery_history(), "{\"version\":1,\"recov").unwrap();
    assert!(matches!(read_history(&dir), Err(HistoryError::Damaged { .. })));
    let record = run_all(&dir, vec![Phase::new("a", "items", fine)]);
    // Nothing is unusable, and something is lost.
    assert_eq!(record.snapshot.outcome, RecoveryOutcome::Degraded);
    assert_eq!(record.snapshot.findings[0].code, "recovery-history-damaged");
    // The run before is in `last.json` still, and comes back from there.
    assert_eq!(read_history(&dir).unwrap().len(), 2);
    assert_eq!(dir.quarantine().notes().len(), 1);
}

#[test]
fn a_later_history_is_left_alone() {
    let (_folder, dir) = state();
    let later = "{\"version\":2,\"epochs\":[]}";
    std::fs::write(dir.paths.recovery_history(), later).unwrap();
    let record = run_all(&dir, vec![Phase::new("a", "items", fine)]);
    assert_eq!(record.snapshot.findings[0].code, "recovery-not-recorded");
    assert_eq!(std::fs::read_to_string(dir.paths.recovery_history()).unwrap(), later);
}

#[test]
fn an_observer_sees_each_status_and_the_end() {
    let (_folder, dir) = state();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&seen);
    let observer: recovery::recovery::Observer = Arc::new(move |s| keeps.lock().unwrap().push(s.clone()));
    let looks = Arc::clone(&seen);
    let phase = Phase::new("a", "items", move |context| {
        context.total(2);
        context.advance(1);
        let is_shown =
            |s: &recovery::recovery::Snapshot| s.phases[0].done == 1 && s.phases[0].total == Some(2);
        wait_for("the observer", || looks.lock().unwrap().iter().any(is_shown));
        Ok(PhaseOutcome::default())
    });
    let options = RunOptions { observer: Some(observer), ..options() };
    let record = run(&dir, &graph(vec![phase]), &options).unwrap();
    assert_eq!(*seen.lock().unwrap().last().unwrap(), record.snapshot);
}
