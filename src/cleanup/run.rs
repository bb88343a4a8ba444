//! Works on cleanups, holding `cleanup/run.lock`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::derive::Derived;
use super::record::CleanupRecord;
use super::settings::CleanupSettings;
use super::store;
use super::work::Work;
use crate::durable::log::LogError;
use crate::durable::{DiskError, FileLock, Holder, LockError};
use crate::in_use::{InUse, JobsAtWork};
use crate::logging::events;
use crate::queue::{Queue, QueueError};
use crate::state::{StateDir, Timestamp};
use tracing::debug;

/// Why work on cleanups stopped. Recorded results stay recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CleanupError {
    /// Another process works on them.
    #[error("another process works on the cleanups")]
    Busy {
        /// The process that works on them, if the lock names it.
        #[source]
        source: LockError,
    },
    /// The lock could not be used.
    #[error(transparent)]
    Lock(LockError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The log of the completed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A checkpoint.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Result of one pass.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    /// Cleanups that were derived from the queue now.
    pub derived: usize,
    /// The cleanups that were worked on, with their new state.
    pub worked_on: Vec<CleanupRecord>,
    /// When the next one is due; `None` when there is nothing left to try.
    pub next_due: Option<Timestamp>,
}

/// Works on the cleanups of a state directory.
pub struct Cleaner<'a> {
    pub(super) dir: StateDir,
    pub(super) settings: CleanupSettings,
    pub(super) queue: Mutex<Queue>,
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
    derived: Derived,
    /// The last look at the uses, with its time.
    in_use: Mutex<Option<(Instant, Arc<InUse>)>>,
}

impl<'a> Cleaner<'a> {
    /// On a recovered queue; `stop` ends the work at the next safe point.
    pub fn new(
        dir: StateDir,
        queue: Queue,
        settings: CleanupSettings,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Cleaner<'a> {
        Cleaner {
            dir,
            settings,
            queue: Mutex::new(queue),
            stop,
            derived: Derived::default(),
            in_use: Mutex::default(),
        }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A look at who uses what that is not older than `since`: those that ask at the same time share one.
    pub(super) fn in_use_since(&self, since: Instant) -> Result<Arc<InUse>, CleanupError> {
        let mut last = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, in_use)) = last.as_ref().filter(|(at, _)| *at >= since) {
            return Ok(in_use.clone());
        }
        let at = Instant::now();
        let mut queue = self.queue();
        queue.refresh()?;
        let known =
            last.take().map(|(_, in_use)| in_use.jobs().clone()).filter(|jobs| jobs.is_of(queue.state()));
        let jobs = known.unwrap_or_else(|| JobsAtWork::of(&self.dir, queue.state()));
        drop(queue);
        let in_use = Arc::new(InUse::with_jobs(&self.dir, jobs));
        *last = Some((at, in_use.clone()));
        Ok(in_use)
    }

    /// Enters the cleanups that the queue asks for, and works once on every one that is due; with `now`, also
    /// on those that wait for their next try. `report` is called with each one as it changes.
    pub fn pass(
        &mut self,
        now: bool,
        report: &(dyn Fn(&CleanupRecord) + Sync),
    ) -> Result<Pass, CleanupError> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.refresh()?;
        let derived = self.derived.enter_missing(&self.dir, queue.state(), &self.settings.actor.by)?;
        drop(queue);
        let is_due = |record: &CleanupRecord, at: Timestamp| {
            record.is_over() || record.due_at(at).is_some_and(|due| now || due <= at)
        };
        let at = self.dir.clock.now();
        let mut pass = Pass { derived, ..Pass::default() };
        let mut due = Vec::new();
        for record in store::list(&self.dir)? {
            if is_due(&record, at) {
                due.push(record.cleanup_id);
            } else {
                pass.next_due = earliest(pass.next_due, record.due_at(at));
            }
        }
        if due.is_empty() {
            return Ok(pass);
        }
        let _lock = self.take_lock()?;
        for record in self.work_on(&due, now, report)? {
            if !record.is_over() {
                pass.next_due = earliest(pass.next_due, record.due_at(at));
            }
            pass.worked_on.push(record);
        }
        Ok(pass)
    }

    /// Works once on these cleanups, also on those that wait for their next try. Those that are over or unknown
    /// are passed over.
    pub fn work_on_these(
        &self,
        ids: &[String],
        report: &(dyn Fn(&CleanupRecord) + Sync),
    ) -> Result<Vec<CleanupRecord>, CleanupError> {
        let _lock = self.take_lock()?;
        self.work_on(ids, true, report)
    }

    fn take_lock(&self) -> Result<FileLock, CleanupError> {
        let lock = FileLock::try_acquire(&self.dir.disk, &self.dir.paths.cleanup_lock());
        let lock = lock.map_err(|e| match e {
            LockError::Held { .. } => CleanupError::Busy { source: e },
            other => CleanupError::Lock(other),
        })?;
        lock.describe(&Holder {
            pid: std::process::id(),
            purpose: "cleanup".to_owned(),
            since: self.dir.clock.now().to_string(),
        })?;
        Ok(lock)
    }

    fn work_on(
        &self,
        ids: &[String],
        at_once: bool,
        report: &(dyn Fn(&CleanupRecord) + Sync),
    ) -> Result<Vec<CleanupRecord>, CleanupError> {
        let next = AtomicUsize::new(0);
        let threads = self.settings.parallel.clamp(1, ids.len().max(1));
        let results: Vec<Result<Vec<CleanupRecord>, CleanupError>> = std::thread::scope(|scope| {
            let worker = || {
                let mut worked = Vec::new();
                while let Some(id) = ids.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if (self.stop)() {
                        break;
                    }
                    // Read under the lock: its last holder may have gone on.
                    if let Some(record) = store::load(&self.dir, id)? {
                        worked.push(Work::new(self, record, at_once, report).run()?);
                    }
                }
                Ok(worked)
            };
            // This thread works too: there may be no others.
            let spawn = |_| {
                let spawned = std::thread::Builder::new().spawn_scoped(scope, worker);
                spawned.inspect_err(|e| debug!(event = events::TROUBLE, "no thread for cleanups: {e}")).ok()
            };
            let others: Vec<_> = (1..threads).filter_map(spawn).collect();
            let own = worker();
            others.into_iter().filter_map(|w| w.join().ok()).chain([own]).collect()
        });
        let mut all = Vec::new();
        for worked in results {
            all.extend(worked?);
        }
        Ok(all)
    }
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
