//! The work of a recovered daemon: the scheduler in its loop, with cleanups and deliveries beside it. Each
//! takes over a new configuration while it works.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, Scope, Thread};

use tracing::warn;

use super::cleaning::{Cleaning, clean};
use super::config::DaemonConfig;
use super::deliveries::{Deliveries, Trouble};
use super::draining::{Ending, wind_down};
use super::error::DaemonError;
use super::phase_retry::{Looks, PhaseRetry};
use super::restarts::{Restarts, kept_going};
use super::scans::{Scanning, scan_at_intervals};
use super::scheduler::{Follower, Scheduler};
use crate::durable::error_chain;
use crate::jobs::record;
use crate::logging::events;
use crate::queue::Queue;
use crate::state::StateDir;

/// The hooks of a running daemon: reload, end, trouble.
pub(super) struct DaemonHooks<'a> {
    pub(super) trouble: Trouble,
    pub(super) reload: Box<dyn Fn() -> Option<DaemonConfig>>,
    pub(super) ending: Ending,
    pub(super) stop: &'a dyn Fn() -> bool,
}

/// The work beside the scheduler, with its own configuration.
struct Beside {
    cleaning: Cleaning,
    scanning: Scanning,
}

/// Runs jobs. Beside that it writes the records of waiting jobs, so that the daemon is ready before they are
/// all written. While a phase is tried again no job is started; running jobs go on.
pub(super) fn work(
    queue: Queue,
    again: &PhaseRetry<'_>,
    hooks: &DaemonHooks<'_>,
    restarts: &Restarts<'_>,
) -> Result<(), DaemonError> {
    let dir = again.dir;
    let over = AtomicBool::new(false);
    let waiting = record::waiting(queue.state());
    let config = again.config.borrow().clone();
    let beside = Beside { cleaning: Cleaning::new(config.cleanup.clone()), scanning: Scanning::new(&config) };
    std::thread::scope(|scope| {
        let (beside, over, waiting) = (&beside, &over, &waiting);
        let stop = move || over.load(Ordering::Relaxed);
        let mut threads = Vec::new();
        // This catches panics of the loop and failures to start a thread: the scope waits for its threads.
        let worked = catch_unwind(AssertUnwindSafe(|| {
            let broke_off = restarts.beside.clone();
            let cleans = move || kept_going(&broke_off, &stop, &mut || clean(dir, &beside.cleaning, over));
            threads.push(begin(scope, "cleaner", cleans)?);
            let broke_off = restarts.beside.clone();
            let mut scan = move || scan_at_intervals(dir, &beside.scanning, over);
            threads.push(begin(scope, "scanner", move || kept_going(&broke_off, &stop, &mut scan))?);
            // A record is derived: one that cannot be written now is written by the next recovery.
            let write = move || {
                if let Err(e) = record::write_waiting(dir, waiting, &stop) {
                    warn!(
                        event = events::TROUBLE,
                        "the records of waiting jobs cannot be written: {}",
                        error_chain(&e)
                    );
                }
            };
            if let Err(e) = begin(scope, "records", write) {
                warn!(
                    event = events::TROUBLE,
                    "the records of waiting jobs are not written: {}",
                    error_chain(&e)
                );
            }
            let mut scheduler = Scheduler::new(dir.clone(), queue, config.scheduler.clone());
            scheduler.work_under(again.lock.clone());
            scheduler.follow(follower(dir, &config, hooks, restarts));
            scheduler.retain(config.retention, &config.cleanup);
            schedule(scheduler, again, beside, (hooks, restarts))
        }));
        over.store(true, Ordering::Relaxed);
        threads.iter().for_each(Thread::unpark);
        worked.unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn begin<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() + Send + 'scope,
) -> Result<Thread, DaemonError> {
    let begun = Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
    begun.map(|begun| begun.thread().clone()).map_err(DaemonError::Threads)
}

fn follower(
    dir: &StateDir,
    config: &DaemonConfig,
    hooks: &DaemonHooks<'_>,
    restarts: &Restarts<'_>,
) -> Follower {
    let (trouble, broke_off) = (hooks.trouble.clone(), restarts.beside.clone());
    let mut deliveries = Deliveries::start(dir, config.webhooks.clone(), trouble, broke_off);
    Box::new(move |queue: &mut Queue| deliveries.tell(queue))
}

fn schedule(
    mut scheduler: Scheduler,
    again: &PhaseRetry<'_>,
    beside: &Beside,
    (hooks, restarts): (&DaemonHooks<'_>, &Restarts<'_>),
) -> Result<(), DaemonError> {
    let (looks, new) = (Looks::new(again), RefCell::new(None));
    let is_reload_due = || {
        let mut new = new.borrow_mut();
        *new = new.take().or_else(&hooks.reload);
        new.is_some()
    };
    while !(hooks.stop)() {
        scheduler.run(&|| {
            restarts.write_down();
            (hooks.stop)() || is_reload_due() || looks.is_asked()
        })?;
        if let Some(config) = new.take() {
            let follower = follower(again.dir, &config, hooks, restarts);
            take_over(&mut scheduler, again, beside, (config, follower));
        }
        if !(hooks.stop)() {
            again.retry_requested(None)?;
        }
    }
    let drain_timeout = again.config.borrow().drain_timeout;
    Ok(wind_down(&mut scheduler, drain_timeout, &hooks.ending)?)
}

/// Takes over a configuration. Running jobs keep the limits that their supervisors were given.
fn take_over(
    scheduler: &mut Scheduler,
    again: &PhaseRetry<'_>,
    beside: &Beside,
    (config, follower): (DaemonConfig, Follower),
) {
    scheduler.take_over(config.scheduler.clone());
    scheduler.retain(config.retention, &config.cleanup);
    beside.cleaning.take_over(config.cleanup.clone());
    beside.scanning.take_over(&config);
    // Secrets may be in files of their own, so the settings alone do not tell whether anything is new.
    // Attempts under way complete in their own thread: no job waits for them, and the new engine begins when
    // the old one has left.
    let before = scheduler.follow(follower);
    // If no thread can be started, the closure is dropped, and the engine ends here.
    let _ = Builder::new().name("old-deliveries".to_owned()).spawn(move || drop(before));
    again.config.replace(config);
}
