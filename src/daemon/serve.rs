//! The daemon's life: its lock, its recovery (or safe mode), then jobs until it is told to end.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::cleanup::CleanupSettings;
use crate::durable::{DiskError, FileLock, Holder, LockError};
use crate::jobs::{Retention, record};
use crate::orphans::OrphanSettings;
use crate::queue::{Queue, QueueError};
use crate::recovery::{GraphError, RecoveryOutcome, RecoveryRecord, RunError, RunOptions, Settings};
use crate::startup::{SafeMode, StartedBy, Startup, StartupError, safe_mode};
use crate::state::StateDir;
use crate::webhooks;

use super::again::{Again, Looks};
use super::deliveries::{Deliveries, Trouble};
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
    /// How it delivers.
    pub webhooks: webhooks::Settings,
    /// Who hears what keeps it from recording deliveries.
    pub trouble: Trouble,
    /// How it cleans up.
    pub cleanup: CleanupSettings,
    /// How it looks for orphans.
    pub orphans: OrphanSettings,
    /// Which jobs that are over it keeps; all when not given.
    pub retention: Option<Retention>,
    /// Begins to listen; called once nobody else is the daemon, before anything is recovered.
    pub listen: Listen,
}

/// Begins to listen, and says where.
pub type Listen = Box<dyn FnOnce(&StateDir) -> io::Result<Listening>>;

/// Where a daemon can be asked.
#[derive(Debug, Clone, Default)]
pub struct Listening {
    /// On TCP.
    pub address: Option<String>,
    /// On a unix socket.
    pub socket: Option<PathBuf>,
}

/// A recovery that takes longer is announced, so that it can be watched.
const ANNOUNCED_AFTER: Duration = Duration::from_secs(1);

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
    /// Nobody could ask it.
    #[error("cannot be asked over HTTP")]
    Listen(#[source] io::Error),
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
    /// Its startup in safe mode could not be recorded.
    #[error(transparent)]
    Startup(#[from] StartupError),
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
/// After a crash loop ([`crate::startup::SafeMode`]) it comes up in safe mode instead: `ready` is called without a record, and
/// nothing is recovered or started until a phase is tried again or the startups are cleared; then `ready` is
/// called again.
///
/// # Errors
/// See [`DaemonError`].
pub fn serve(
    dir: &StateDir,
    settings: DaemonSettings,
    ready: &mut dyn FnMut(&DaemonInfo, Option<&RecoveryRecord>),
    stop: &dyn Fn() -> bool,
) -> Result<(), DaemonError> {
    let _lock = take_lock(dir)?;
    // What a killed daemon left would say that jobs are taken while this one still recovers.
    DaemonInfo::remove(dir)?;
    let DaemonSettings { listen, recovery, run, scheduler, webhooks, trouble, cleanup, orphans, retention } =
        settings;
    let listening = listen(dir).map_err(DaemonError::Listen)?;
    let again = Again { dir, recovery, run, orphans };
    let work_settings = WorkSettings { scheduler, webhooks, trouble, cleanup, retention, listening };
    let served = serve_on(dir, &again, &work_settings, ready, stop);
    DaemonInfo::remove(dir)?;
    served
}

/// What a daemon does once it has recovered.
struct WorkSettings {
    scheduler: SchedulerSettings,
    webhooks: webhooks::Settings,
    trouble: Trouble,
    cleanup: CleanupSettings,
    retention: Option<Retention>,
    listening: Listening,
}

/// Runs the recovery; when it takes long, the file that others find the daemon by is written meanwhile.
fn announced<T>(dir: &StateDir, info: &DaemonInfo, recover: impl FnOnce() -> T) -> T {
    let (over, wait) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if wait.recv_timeout(ANNOUNCED_AFTER) == Err(RecvTimeoutError::Timeout) {
                // The disk may refuse: then nobody can watch, and all else is as it would be.
                let _ = info.write(dir);
            }
        });
        let recovered = recover();
        drop(over);
        recovered
    })
}

fn serve_on(
    dir: &StateDir,
    again: &Again<'_>,
    work_settings: &WorkSettings,
    ready: &mut dyn FnMut(&DaemonInfo, Option<&RecoveryRecord>),
    stop: &dyn Fn() -> bool,
) -> Result<(), DaemonError> {
    let Listening { address, socket } = work_settings.listening.clone();
    let info = |safe_mode, ready| DaemonInfo {
        pid: std::process::id(),
        address: address.clone(),
        socket: socket.clone(),
        started_at: dir.clock.now(),
        safe_mode,
        ready,
        loop_restarts: 0,
    };
    // Where it cannot be told, the phase `startup` says so: no reason not to come up.
    let recovered = match safe_mode(dir) {
        Ok(None) | Err(_) => announced(dir, &info(false, false), || again.whole())?,
        Ok(Some(safe)) => {
            come_up_safely(dir, &safe)?;
            let info = info(true, true);
            info.write(dir)?;
            ready(&info, None);
            match again.when_asked_in_safe_mode(stop)? {
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
    work_on(dir, queue, work_settings, again, (info, stop))
}

/// The longest pause before a loop that broke off is begun again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Works; a panic in one of the loops ends that round of all of them, and after a pause they are begun again
/// with the queue as it is on disk. That it happened is told in the daemon's file.
fn work_on(
    dir: &StateDir,
    queue: Queue,
    settings: &WorkSettings,
    again: &Again<'_>,
    (mut info, stop): (DaemonInfo, &dyn Fn() -> bool),
) -> Result<(), DaemonError> {
    let mut queue = Some(queue);
    loop {
        let this_round = match queue.take() {
            Some(queue) => queue,
            None => Queue::open(dir)?,
        };
        let round = || work(dir, this_round, settings, again, stop);
        if let Ok(worked) = catch_unwind(AssertUnwindSafe(round)) {
            return worked;
        }
        info.loop_restarts += 1;
        // The disk may refuse: it is no reason to start no jobs.
        let _ = info.write(dir);
        let pause = Duration::from_millis(100) * 2u32.saturating_pow(info.loop_restarts.min(10));
        let until = Instant::now() + pause.min(LONGEST_PAUSE);
        while Instant::now() < until && !stop() {
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

/// History and log say that this start came up, and how.
fn come_up_safely(dir: &StateDir, safe: &SafeMode) -> Result<(), DaemonError> {
    let (startup, _) = Startup::begin(dir, StartedBy::Daemon)?;
    startup.enter_safe_mode(safe)?;
    startup.finish_in_safe_mode()?;
    Ok(())
}

/// Runs jobs, and beside that gives those that wait a record of their own: a daemon is ready before. While a
/// phase is tried again no job is started; those that run go on.
fn work(
    dir: &StateDir,
    queue: Queue,
    settings: &WorkSettings,
    again: &Again<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<(), DaemonError> {
    let over = AtomicBool::new(false);
    let waiting = record::waiting(queue.state());
    std::thread::scope(|scope| {
        // Derived: what cannot be written now, the next recovery writes.
        scope.spawn(|| record::write_waiting(dir, &waiting, &|| over.load(Ordering::Relaxed)));
        let cleaning = scope.spawn(|| super::cleaning::clean(dir, &settings.cleanup, &over));
        let mut deliveries = Deliveries::start(dir, settings.webhooks.clone(), settings.trouble.clone());
        let follower = Box::new(move |queue: &mut Queue| deliveries.tell(queue));
        let scheduler = Scheduler::new(dir.clone(), queue, settings.scheduler.clone()).followed_by(follower);
        let scheduler = match settings.retention {
            Some(retention) => scheduler.with_retention(retention, settings.cleanup.clone()),
            None => scheduler,
        };
        // Also when the loop breaks off: the scope waits for its threads.
        let worked = catch_unwind(AssertUnwindSafe(|| schedule(scheduler, again, stop)));
        over.store(true, Ordering::Relaxed);
        cleaning.thread().unpark();
        worked.unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn schedule(mut scheduler: Scheduler, again: &Again<'_>, stop: &dyn Fn() -> bool) -> Result<(), DaemonError> {
    let looks = Looks::new(again);
    while !stop() {
        scheduler.run(&|| stop() || looks.is_asked())?;
        if !stop() {
            again.retry_what_is_asked(None)?;
        }
    }
    Ok(())
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
