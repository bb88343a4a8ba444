//! What a daemon does once it has recovered: the scheduler in its loop, and beside it cleanups and deliveries. Each
//! takes over other rules while it works.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, Scope, Thread};

use super::again::{Again, Looks};
use super::cleaning::{Cleaning, clean};
use super::deliveries::Deliveries;
use super::draining::wind_down;
use super::restarts::{Restarts, kept_going};
use super::scans::{Scanning, scan_at_intervals};
use super::scheduler::{Follower, Scheduler};
use super::serve::{DaemonError, Life, Rules};
use crate::jobs::record;
use crate::queue::Queue;
use crate::state::StateDir;

/// What works beside the scheduler, by rules of its own.
struct Beside {
    cleaning: Cleaning,
    scanning: Scanning,
}

/// Runs jobs, and beside that gives those that wait a record of their own: a daemon is ready before. While a
/// phase is tried again no job is started; those that run go on.
pub(super) fn work(
    queue: Queue,
    again: &Again<'_>,
    life: &Life<'_>,
    restarts: &Restarts<'_>,
) -> Result<(), DaemonError> {
    let dir = again.dir;
    let over = AtomicBool::new(false);
    let waiting = record::waiting(queue.state());
    let rules = again.rules.borrow().clone();
    let beside = Beside { cleaning: Cleaning::new(rules.cleanup.clone()), scanning: Scanning::new(&rules) };
    std::thread::scope(|scope| {
        let (beside, over, waiting) = (&beside, &over, &waiting);
        let stop = move || over.load(Ordering::Relaxed);
        let mut threads = Vec::new();
        // Also when the loop breaks off, or a thread cannot be had: the scope waits for its threads.
        let worked = catch_unwind(AssertUnwindSafe(|| {
            let broke_off = restarts.beside.clone();
            let cleans = move || kept_going(&broke_off, &stop, &mut || clean(dir, &beside.cleaning, over));
            threads.push(begin(scope, "cleaner", cleans)?);
            let broke_off = restarts.beside.clone();
            let mut scan = move || scan_at_intervals(dir, &beside.scanning, over);
            threads.push(begin(scope, "scanner", move || kept_going(&broke_off, &stop, &mut scan))?);
            // Derived: what cannot be written now, the next recovery writes.
            let _ = begin(scope, "records", move || drop(record::write_waiting(dir, waiting, &stop)));
            let mut scheduler = Scheduler::new(dir.clone(), queue, rules.scheduler.clone());
            scheduler.work_under(again.lock.clone());
            scheduler.follow(follower(dir, &rules, life, restarts));
            scheduler.retain(rules.retention, &rules.cleanup);
            schedule(scheduler, again, beside, (life, restarts))
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

fn follower(dir: &StateDir, rules: &Rules, life: &Life<'_>, restarts: &Restarts<'_>) -> Follower {
    let (trouble, broke_off) = (life.trouble.clone(), restarts.beside.clone());
    let mut deliveries = Deliveries::start(dir, rules.webhooks.clone(), trouble, broke_off);
    Box::new(move |queue: &mut Queue| deliveries.tell(queue))
}

fn schedule(
    mut scheduler: Scheduler,
    again: &Again<'_>,
    beside: &Beside,
    (life, restarts): (&Life<'_>, &Restarts<'_>),
) -> Result<(), DaemonError> {
    let (looks, new) = (Looks::new(again), RefCell::new(None));
    let is_reload_due = || {
        let mut new = new.borrow_mut();
        *new = new.take().or_else(&life.reload);
        new.is_some()
    };
    while !(life.stop)() {
        scheduler.run(&|| {
            restarts.write_down();
            (life.stop)() || is_reload_due() || looks.is_asked()
        })?;
        if let Some(rules) = new.take() {
            let follower = follower(again.dir, &rules, life, restarts);
            take_over(&mut scheduler, again, beside, (rules, follower));
        }
        if !(life.stop)() {
            again.retry_what_is_asked(None)?;
        }
    }
    let drain_timeout = again.rules.borrow().drain_timeout;
    Ok(wind_down(&mut scheduler, drain_timeout, &life.ending)?)
}

/// Jobs that run go on by the limits that their supervisors were given.
fn take_over(
    scheduler: &mut Scheduler,
    again: &Again<'_>,
    beside: &Beside,
    (rules, follower): (Rules, Follower),
) {
    scheduler.take_over(rules.scheduler.clone());
    scheduler.retain(rules.retention, &rules.cleanup);
    beside.cleaning.take_over(rules.cleanup.clone());
    beside.scanning.take_over(&rules);
    // Secrets may be in files of their own, so that the settings alone do not tell whether anything is new. What is
    // under way comes to its end elsewhere: no job waits for it, and the new engine begins when the old one has left.
    let before = scheduler.follow(follower);
    // Without a thread it comes to its end here.
    let _ = Builder::new().name("old-deliveries".to_owned()).spawn(move || drop(before));
    again.rules.replace(rules);
}
