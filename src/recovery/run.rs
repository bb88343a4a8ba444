//! One run of a sequence: takes the lock, runs the coordinator, records the result.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{Builder, Scope};

use super::complete::complete;
use super::control::Control;
use super::coordinator::Coordinator;
use super::graph::PhaseGraph;
use super::history::{self, HistoryError, RecoveryRecord};
use super::options::RunOptions;
use super::phase::Phase;
use super::progress::Tracker;
use super::publish::{CurrentFile, not_written, show};
use super::requests::{RequestError, check_known};
use super::snapshot::{PhaseProgress, PhaseStatus, RecoveryOutcome};
use crate::durable::{DiskError, FileLock, Holder, LockError};
use crate::findings::{Finding, Object, catalogue};
use crate::state::StateDir;

/// Why a sequence was not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Another recovery is under way.
    #[error("another recovery is under way{}", described(holder.as_ref()))]
    Busy {
        path: PathBuf,
        /// The process that runs it, if the lock file names one.
        holder: Option<Holder>,
    },
    /// A phase to skip, or to try again, does not exist.
    #[error(transparent)]
    Skip(#[from] RequestError),
    /// A phase cannot be tried again before one that it waits for.
    #[error("phase '{phase}' waits for '{waits_for}', which is {}", status.word())]
    NotReady {
        phase: &'static str,
        /// The phase that it waits for.
        waits_for: &'static str,
        /// The status of that phase.
        status: PhaseStatus,
    },
    /// The lock could not be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

fn described(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |h| format!(": process {} ({}) since {}", h.pid, h.purpose, h.since))
}

/// Runs the phases of `graph` and waits until all are over. Their results are in the record's snapshot; a
/// recovery that failed is `Ok` here.
///
/// # Errors
/// When nothing was run: another recovery is under way, an unknown phase is to be skipped, or the lock cannot
/// be used.
pub fn run(dir: &StateDir, graph: &PhaseGraph, options: &RunOptions) -> Result<RecoveryRecord, RunError> {
    let names = graph.names();
    options.skip.iter().chain(&options.only).try_for_each(|name| check_known(&names, name))?;
    let lock = take_lock(dir, options)?;
    // A record that cannot be read goes to quarantine below.
    let before = if options.only.is_empty() { None } else { history::read_last(dir).ok().flatten() };
    let phases = first_progress(graph, &options.only, before.as_ref())?;
    let only: &[String] = if before.is_some() { &options.only } else { &[] };
    let tracker = Arc::new(Tracker::new(&dir.clock, &options.purpose, only, phases));
    let control = Arc::new(Control::new(options.cancel.clone(), graph.phases().len()));
    // The holder in the lock is only a hint for others: a full disk must not prevent a recovery.
    if let Err(e) = describe(&lock, dir, options) {
        tracker.add_run_finding(not_written(&format!("{e}: {}", e.source)));
    }
    let mut aborted = 0;
    match complete(dir) {
        Ok(made_good) => {
            aborted = made_good.aborted;
            made_good.findings.into_iter().for_each(|f| tracker.add_run_finding(f));
        }
        Err(e) => tracker.add_run_finding(not_recorded(&e)),
    }
    let current = CurrentFile::new(dir, &tracker);
    std::thread::scope(|scope| {
        // The tracker is closed also when this thread panics: otherwise the followers would wait for ever.
        let _close = CloseAtTheEnd(&tracker);
        start_followers(scope, &current, &tracker, options);
        let mut coordinator = Coordinator::new(dir, graph, options, &tracker, &control);
        let outcome = coordinator.drive();
        current.stop();
        tracker.end_run(outcome);
        let mut details = before.map(|before| before.details).unwrap_or_default();
        details.extend(tracker.details());
        details.remove("retry");
        details.extend(options.keep.clone().map(|kept| ("retry".to_owned(), kept)));
        let mut counts = tracker.counts();
        history::count_run(&tracker.snapshot(), &mut counts);
        *counts.entry(history::counter(RecoveryOutcome::Aborted)).or_default() += aborted;
        let totals = history::totals(dir, counts);
        let record = RecoveryRecord { snapshot: tracker.snapshot(), details, totals };
        // The record is written before the last progress: a reader that sees that the run is over finds its
        // record.
        if let Err(e) = history::record(dir, &record) {
            tracker.add_run_finding(not_recorded(&e));
        }
        current.write(&tracker.snapshot());
        // Requests are removed last, so that a kill before this leaves them for the next run.
        coordinator.consume_requests();
        Ok(RecoveryRecord { snapshot: tracker.snapshot(), ..record })
    })
}

struct CloseAtTheEnd<'a>(&'a Tracker);

impl Drop for CloseAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn start_followers<'scope>(
    scope: &'scope Scope<'scope, '_>,
    current: &'scope CurrentFile<'_>,
    tracker: &'scope Tracker,
    options: &'scope RunOptions,
) {
    let begun = Builder::new().name("recovery-current".into()).spawn_scoped(scope, || current.follow());
    if let Err(e) = begun {
        tracker.add_run_finding(not_written(&e.to_string()));
    }
    if let Some(observer) = &options.observer {
        let shown =
            Builder::new().name("recovery-show".into()).spawn_scoped(scope, || show(observer, tracker));
        if let Err(e) = shown {
            tracker.add_run_finding(not_written(&e.to_string()));
        }
    }
}

fn take_lock(dir: &StateDir, options: &RunOptions) -> Result<FileLock, RunError> {
    dir.disk.ensure_dir(&dir.paths.recovery())?;
    match FileLock::acquire(&dir.disk, &dir.paths.recovery_lock(), options.lock_wait) {
        Ok(lock) => Ok(lock),
        Err(LockError::Held { path, holder, .. }) => Err(RunError::Busy { path, holder }),
        Err(LockError::Disk(e)) => Err(e.into()),
    }
}

fn describe(lock: &FileLock, dir: &StateDir, options: &RunOptions) -> Result<(), DiskError> {
    lock.describe(&Holder {
        pid: std::process::id(),
        purpose: options.purpose.clone(),
        since: dir.clock.now().to_string(),
    })
}

/// Returns the status of each phase when a run begins: not begun, or as it ended in the previous recovery.
fn first_progress(
    graph: &PhaseGraph,
    only: &[String],
    before: Option<&RecoveryRecord>,
) -> Result<Vec<PhaseProgress>, RunError> {
    let Some(before) = before else {
        return Ok(graph.phases().iter().map(PhaseProgress::not_begun).collect());
    };
    let wanted = graph.with_what_waits(only);
    let ended = |index: usize| before.snapshot.phase(graph.phases()[index].name);
    for (index, phase) in graph.phases().iter().enumerate().filter(|(index, _)| wanted[*index]) {
        for &other in graph.waits_for(index).iter().filter(|other| !wanted[**other]) {
            let status = ended(other).map_or(PhaseStatus::Pending, |p| p.status);
            let broken = status == PhaseStatus::Failed && graph.phases()[other].critical;
            if broken || matches!(status, PhaseStatus::Pending | PhaseStatus::Running | PhaseStatus::Blocked)
            {
                let waits_for = graph.phases()[other].name;
                return Err(RunError::NotReady { phase: phase.name, waits_for, status });
            }
        }
    }
    let progress = |(index, phase): (usize, &Phase)| match ended(index) {
        Some(before) if !wanted[index] => {
            PhaseProgress { carried_over: true, remaining_ms: None, ..before.clone() }
        }
        _ => PhaseProgress::not_begun(phase),
    };
    Ok(graph.phases().iter().enumerate().map(progress).collect())
}

fn not_recorded(error: &HistoryError) -> Finding {
    let cause = std::error::Error::source(error).map_or_else(String::new, |e| format!(": {e}"));
    let sentence = format!("The record of past recoveries is incomplete: {error}{cause}.");
    Finding::new(&catalogue::RECOVERY_NOT_RECORDED, Object::Recovery, sentence)
}
