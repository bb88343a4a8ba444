//! Works on cleanups, holding `cleanup/run.lock`.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::debug;

use super::cleaner::{Cleaner, CleanupError};
use super::record::CleanupRecord;
use super::store;
use super::work::Work;
use crate::durable::{FileLock, Holder, LockError};
use crate::logging::events;
use crate::state::Timestamp;

/// The result of one pass.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    /// How many cleanups this pass derived from the queue.
    pub derived: usize,
    /// The cleanups that were worked on, with their new state.
    pub worked_on: Vec<CleanupRecord>,
    /// When the next one is due; `None` when there is nothing left to try.
    pub next_due: Option<Timestamp>,
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl<'a> Cleaner<'a> {
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

    /// Works once on the named cleanups, also on those that wait for their next try. Those that are over or
    /// unknown are ignored.
    pub(crate) fn work_on_these(
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
                    // The record is read under the lock: the last holder may have continued the cleanup.
                    if let Some(record) = store::load(&self.dir, id)? {
                        worked.push(Work::new(self, record, at_once, report).run()?);
                    }
                }
                Ok(worked)
            };
            // This thread works too: the system may give no others.
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
