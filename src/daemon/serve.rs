//! The life of a daemon: its lock, its recovery (or safe mode), then jobs until it is told to end.

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use tracing::warn;

use super::config::DaemonConfig;
use super::deliveries::Trouble;
use super::draining::Ending;
use super::error::DaemonError;
use super::info::DaemonInfo;
use super::phase_retry::PhaseRetry;
use super::restarts::Restarts;
use super::working::{DaemonHooks, work};
use crate::durable::{FileLock, Holder, LockError, error_chain};
use crate::logging::events;
use crate::queue::Queue;
use crate::recovery::{RecoveryOutcome, RecoveryRecord, RunOptions};
use crate::startup::{SafeMode, StartedBy, Startup, safe_mode};
use crate::state::StateDir;

/// How a daemon works.
pub struct DaemonSettings {
    /// Its configuration.
    pub config: DaemonConfig,
    /// Options of its recovery.
    pub run: RunOptions,
    /// Called when deliveries cannot be recorded.
    pub trouble: Trouble,
    /// Begins to listen. Called when no other process is the daemon, before anything is recovered.
    pub listen: Listen,
    /// Called in each round of the main loop; returns a new configuration, if there is one.
    pub reload: Box<dyn Fn() -> Option<DaemonConfig>>,
    /// How it ends.
    pub ending: Ending,
}

/// Begins to listen, and returns where.
pub type Listen = Box<dyn FnOnce(&StateDir) -> io::Result<Listening>>;

/// Where a daemon listens.
#[derive(Debug, Clone, Default)]
pub struct Listening {
    /// The TCP address.
    pub address: Option<String>,
    /// The unix socket.
    pub socket: Option<PathBuf>,
}

/// A recovery that takes longer than this is announced, so that it can be watched.
const ANNOUNCED_AFTER: Duration = Duration::from_secs(1);

/// Recovers, calls `ready`, and runs jobs until `stop` says so. Then running jobs are waited for as long as is
/// configured ([`DaemonConfig::drain_timeout`]), and left to their supervisors; see [`Ending`].
///
/// After a crash loop ([`crate::startup::SafeMode`]) it comes up in safe mode instead: `ready` is called without a
/// record, and nothing is recovered or started until a phase is tried again or the startups are cleared; then `ready`
/// is called again.
pub fn serve(
    dir: &StateDir,
    settings: DaemonSettings,
    ready: &mut dyn FnMut(&DaemonInfo, Option<&RecoveryRecord>),
    stop: &dyn Fn() -> bool,
) -> Result<(), DaemonError> {
    let lock = Arc::new(take_lock(dir)?);
    // The file of a killed daemon would say that jobs are taken while this one still recovers.
    DaemonInfo::remove(dir)?;
    let DaemonSettings { config, run, trouble, listen, reload, ending } = settings;
    let listening = listen(dir).map_err(DaemonError::Listen)?;
    let again = PhaseRetry { dir, config: RefCell::new(config), run, lock: lock.clone() };
    let served = serve_on(&again, listening, &DaemonHooks { trouble, reload, ending, stop }, ready);
    match lock.check_its_name(&dir.disk) {
        Ok(()) => {
            DaemonInfo::remove(dir)?;
            served
        }
        // The directory at the path is not this daemon's any more, which is also the reason for any other
        // failure.
        Err(left) => served.map_err(|_| left.into()),
    }
}

/// Runs the recovery. When it takes long, the file by which others find the daemon is written before the
/// recovery ends.
fn announced<T>(dir: &StateDir, info: &DaemonInfo, recover: impl FnOnce() -> T) -> T {
    let (over, wait) = channel::<()>();
    std::thread::scope(|scope| {
        // Without a thread the recovery cannot be watched, and everything else is the same.
        let begun = std::thread::Builder::new().name("announce".to_owned()).spawn_scoped(scope, move || {
            if wait.recv_timeout(ANNOUNCED_AFTER) == Err(RecvTimeoutError::Timeout) {
                // If the disk refuses, the recovery cannot be watched, and everything else is the same.
                if let Err(e) = info.write(dir) {
                    warn!(event = events::TROUBLE, "the recovery cannot be watched: {}", error_chain(&e));
                }
            }
        });
        if let Err(e) = begun {
            warn!(event = events::TROUBLE, "the recovery cannot be watched, for want of a thread: {e}");
        }
        let recovered = recover();
        drop(over);
        recovered
    })
}

fn serve_on(
    again: &PhaseRetry<'_>,
    Listening { address, socket }: Listening,
    hooks: &DaemonHooks<'_>,
    ready: &mut dyn FnMut(&DaemonInfo, Option<&RecoveryRecord>),
) -> Result<(), DaemonError> {
    let dir = again.dir;
    let info = |safe_mode, ready| DaemonInfo {
        pid: std::process::id(),
        address: address.clone(),
        socket: socket.clone(),
        started_at: dir.clock.now(),
        safe_mode,
        ready,
        loop_restarts: 0,
    };
    // When this cannot be read, the phase `startup` reports it, and the daemon comes up all the same.
    let safe_mode = safe_mode(dir).unwrap_or_else(|e| {
        warn!(event = events::TROUBLE, "whether safe mode is due cannot be told: {}", error_chain(&e));
        None
    });
    let recovered = match safe_mode {
        None => announced(dir, &info(false, false), || again.whole())?,
        Some(safe) => {
            come_up_safely(dir, &safe)?;
            let info = info(true, true);
            info.write(dir)?;
            ready(&info, None);
            match again.when_asked_in_safe_mode(hooks.stop)? {
                Some(recovered) => recovered,
                None => return Ok(()),
            }
        }
    };
    let (record, queue) = recovered;
    let outcome = record.snapshot.outcome;
    if !matches!(outcome, RecoveryOutcome::Completed | RecoveryOutcome::Degraded) {
        return Err(DaemonError::NotRecovered { outcome, record: Box::new(record) });
    }
    let queue = match queue {
        Some(queue) => queue,
        None => Queue::open(dir)?,
    };
    let info = info(false, true);
    info.write(dir)?;
    ready(&info, Some(&record));
    work_on(queue, again, info, hooks)
}

/// Runs the loop; after a panic in it, the loop and the threads beside it are begun again, after a pause,
/// with the queue as it is on disk.
fn work_on(
    queue: Queue,
    again: &PhaseRetry<'_>,
    info: DaemonInfo,
    hooks: &DaemonHooks<'_>,
) -> Result<(), DaemonError> {
    let restarts = Restarts::new(again.dir, info);
    let mut queue = Some(queue);
    loop {
        let this_round = match queue.take() {
            Some(queue) => queue,
            None => Queue::open(again.dir)?,
        };
        if let Ok(worked) = catch_unwind(AssertUnwindSafe(|| work(this_round, again, hooks, &restarts))) {
            return worked;
        }
        restarts.one_more(hooks.stop);
    }
}

/// Records in history and log that this start came up, and how.
fn come_up_safely(dir: &StateDir, safe: &SafeMode) -> Result<(), DaemonError> {
    let (startup, _) = Startup::begin(dir, StartedBy::Daemon)?;
    startup.enter_safe_mode(safe)?;
    startup.finish_in_safe_mode()?;
    Ok(())
}

fn take_lock(dir: &StateDir) -> Result<FileLock, DaemonError> {
    let path = dir.paths.daemon_lock();
    if !dir.paths.daemon().is_dir() {
        dir.disk.ensure_dir(&dir.paths.daemon()).map_err(|e| DaemonError::Lock(e.into()))?;
    }
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
