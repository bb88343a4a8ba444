//! The directory, the queue and the settings for work on cleanups, and a look at what is in use, which
//! simultaneous callers share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::derive::Derived;
use super::settings::CleanupSettings;
use crate::durable::log::LogError;
use crate::durable::{DiskError, LockError};
use crate::in_use::{InUse, JobsAtWork};
use crate::queue::{Queue, QueueError};
use crate::state::StateDir;

/// Why work on cleanups stopped. Results that were recorded stay recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CleanupError {
    /// Another process works on them.
    #[error("another process works on the cleanups")]
    Busy {
        /// The lock's error, which names the process that works on them if the lock does.
        #[source]
        source: LockError,
    },
    /// The lock could not be used.
    #[error(transparent)]
    Lock(LockError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The log of completed cleanups could not be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A progress file could not be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Works on the cleanups of a state directory.
pub struct Cleaner<'a> {
    pub(super) dir: StateDir,
    pub(super) settings: CleanupSettings,
    pub(super) queue: Mutex<Queue>,
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
    pub(super) derived: Derived,
    /// The last look at what is in use, with its time.
    in_use: Mutex<Option<(Instant, Arc<InUse>)>>,
}

impl<'a> Cleaner<'a> {
    /// Makes a cleaner for a recovered queue; `stop` ends the work at the next safe point.
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

    /// Looks at who uses which files, or returns a look that is not older than `since`: simultaneous callers
    /// share one.
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
}
