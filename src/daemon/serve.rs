//! The daemon's life: its lock, its recovery, then jobs until it is told to end.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::cleanup::CleanupSettings;
use crate::durable::{DiskError, FileLock, Holder, LockError};
use crate::jobs::record;
use crate::orphans::OrphanSettings;
use crate::queue::{Queue, QueueError};
use crate::recovery::{
    GraphError, Recovery, RecoveryOutcome, RecoveryRecord, RunError, RunOptions, Settings,
};
use crate::state::StateDir;

use super::info::DaemonInfo;
use super::scheduler::{Scheduler, SchedulerSettings, WorkError};

/// How a daemon works.
pub struct DaemonSettings {
    /// How it recovers.
    pub recovery: Settings,
    /// How it watches its own recovery.
    pub run: RunOptions,
    /// How it runs jobs.
    pub scheduler: SchedulerSettings,
    /// How it cleans up.
    pub cleanup: CleanupSettings,
    /// How it looks for orphans.
    pub orphans: OrphanSettings,
}

/// Why a daemon did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// One a state directory.
    #[error("a daemon is running{}", described(holder.as_ref()))]
    Running {
        /// Which, as far as the lock file tells.
        holder: Option<Holder>,
    },
    /// Its lock could not be used.
    #[error(transparent)]
    Lock(LockError),
    /// The phases make no order.
    #[error(transparent)]
    Phases(#[from] GraphError),
    /// Its recovery did not run.
    #[error(transparent)]
    Recovery(#[from] RunError),
    /// Its recovery failed in a phase that nothing can do without.
    #[error("the recovery {}", outcome.word())]
    NotRecovered {
        /// How it ended.
        outcome: RecoveryOutcome,
        /// What each phase says.
        record: Box<RecoveryRecord>,
    },
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// Running jobs.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

fn described(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |h| format!(" already: process {} since {}", h.pid, h.since))
}

/// Recovers, calls `ready`, and runs jobs until `stop` says so. Running jobs are left to their supervisors.
///
/// # Errors
/// See [`DaemonError`].
pub fn serve(
    dir: &StateDir,
    settings: DaemonSettings,
    ready: &mut dyn FnMut(&DaemonInfo, &RecoveryRecord),
    stop: &dyn Fn() -> bool,
) -> Result<(), DaemonError> {
    let _lock = take_lock(dir)?;
    // What a killed daemon left would say that jobs are taken while this one still recovers.
    DaemonInfo::remove(dir)?;
    let (record, queue) =
        Recovery::new(dir, settings.recovery)?.scanning(&settings.orphans).run(&settings.run)?;
    let outcome = record.snapshot.outcome;
    if !matches!(outcome, RecoveryOutcome::Completed | RecoveryOutcome::Degraded) {
        return Err(DaemonError::NotRecovered { outcome, record: Box::new(record) });
    }
    let queue = match queue {
        Some(queue) => queue,
        None => Queue::open(dir)?,
    };
    let info =
        DaemonInfo { pid: std::process::id(), address: None, socket: None, started_at: dir.clock.now() };
    info.write(dir)?;
    ready(&info, &record);
    let worked = work(dir, queue, settings.scheduler, &settings.cleanup, stop);
    DaemonInfo::remove(dir)?;
    Ok(worked?)
}

/// Runs jobs, and beside that gives those that wait a record of their own: a daemon is ready before.
fn work(
    dir: &StateDir,
    queue: Queue,
    settings: SchedulerSettings,
    cleanup: &CleanupSettings,
    stop: &dyn Fn() -> bool,
) -> Result<(), WorkError> {
    let over = AtomicBool::new(false);
    let waiting = record::waiting(queue.state());
    std::thread::scope(|scope| {
        // Derived: what cannot be written now, the next recovery writes.
        scope.spawn(|| record::write_waiting(dir, &waiting, &|| over.load(Ordering::Relaxed)));
        let cleaning = scope.spawn(|| super::cleaning::clean(dir, cleanup, &over));
        let worked = Scheduler::new(dir.clone(), queue, settings).run(stop);
        over.store(true, Ordering::Relaxed);
        cleaning.thread().unpark();
        worked
    })
}

fn take_lock(dir: &StateDir) -> Result<FileLock, DaemonError> {
    let path = dir.paths.daemon_lock();
    let lock =
        FileLock::acquire(&dir.disk, &path, std::time::Duration::from_millis(250)).map_err(|e| match e {
            LockError::Held { holder, .. } => DaemonError::Running { holder },
            other => DaemonError::Lock(other),
        })?;
    lock.describe(&Holder {
        pid: std::process::id(),
        purpose: "daemon".to_owned(),
        since: dir.clock.now().to_string(),
    })?;
    Ok(lock)
}
