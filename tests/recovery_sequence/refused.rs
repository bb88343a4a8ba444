//! The disk fails at each effect in turn, for good: what it then holds is what a kill at that place leaves.
//! The next run must recover from each of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use recovery::durable::{Disk, Effect, Observer};
use recovery::recovery::{
    Phase, PhaseStatus, RecoveryOutcome, RunError, read_current, read_history, read_last, request_skip, run,
};
use recovery::state::{Clock, StateDir};

use super::{fine, graph, options, run_all, state, status};

struct GivesOut {
    left: AtomicUsize,
    refused: AtomicUsize,
}

impl Observer for GivesOut {
    fn before(&self, _: &Effect<'_>) -> io::Result<()> {
        let take_one = |left: usize| left.checked_sub(1);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one) {
            Ok(_) => Ok(()),
            Err(_) => {
                self.refused.fetch_add(1, Ordering::SeqCst);
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
        }
    }

    fn after(&self, _: &Effect<'_>) {}
}

#[test]
fn from_wherever_the_disk_gave_out_the_next_run_finds_its_way() {
    let mut effects = 0;
    while given_out_after(effects) {
        effects += 1;
        assert!(effects < 500, "the run never came to its end");
    }
    // The holder's hint takes 2 effects, three replaced files 5 each, the removed request 2; the progress in
    // between adds more, depending on the writer.
    assert!(effects >= 19, "only {effects} effects: was everything written?");
}

/// Returns true when the disk did fail.
fn given_out_after(effects: usize) -> bool {
    let (_folder, dir) = state();
    let before = run_all(&dir, vec![Phase::new("locks", "locks", fine)]);
    request_skip(&dir, &["locks"], "locks", "uid:0 root", None).unwrap();
    let gives_out = Arc::new(GivesOut { left: AtomicUsize::new(effects), refused: AtomicUsize::new(0) });
    let disk = Disk::observed(Arc::clone(&gives_out) as Arc<dyn Observer>);
    let bad = StateDir::open(dir.paths.root(), disk, Clock::system()).unwrap();
    let phases =
        || vec![Phase::new("locks", "locks", fine), Phase::new("jobs", "jobs", fine).after(&["locks"])];
    match run(&bad, &graph(phases()), &options()) {
        Ok(record) => assert_eq!(status(&record, "jobs"), PhaseStatus::Succeeded, "after {effects}"),
        Err(RunError::Disk(_)) => {}
        Err(other) => panic!("after {effects}: {other}"),
    }
    let seen = read_current(&dir).expect("progress can be read");
    assert_ne!(seen.outcome, RecoveryOutcome::Running, "after {effects}: nobody holds the lock");
    let after = run_all(&dir, phases());
    assert_eq!(after.snapshot.findings, [], "after {effects}: nothing was damaged");
    assert_eq!(status(&after, "jobs"), PhaseStatus::Succeeded);
    // The request counted for the run whose end was recorded, or else counts for this one.
    let history = read_history(&dir).unwrap();
    let skipped: u64 = history.iter().map(|h| h.skipped).sum();
    assert!(skipped >= 1, "after {effects}: the accepted request was lost");
    assert_eq!(history.first().unwrap().recovery_id, before.snapshot.recovery_id);
    assert_eq!(history.last().unwrap().recovery_id, after.snapshot.recovery_id);
    assert_eq!(read_last(&dir).unwrap().unwrap(), after);
    assert_eq!(read_current(&dir).unwrap(), after.snapshot);
    gives_out.refused.load(Ordering::SeqCst) > 0
}
