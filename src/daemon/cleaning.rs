//! The daemon's cleanups: beside the jobs, whenever one is due.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cleanup::{Cleaner, CleanupRecord, CleanupSettings, list};
use crate::queue::Queue;
use crate::state::StateDir;

/// At most so long until a new cleanup is seen.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How cleanups are done, which may change.
pub(super) struct Cleaning {
    settings: Mutex<CleanupSettings>,
    /// Counts the changes.
    changes: AtomicU64,
}

impl Cleaning {
    pub(super) fn new(settings: CleanupSettings) -> Cleaning {
        Cleaning { settings: Mutex::new(settings), changes: AtomicU64::new(0) }
    }

    /// Other settings from the next pass on.
    pub(super) fn take_over(&self, settings: CleanupSettings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
        self.changes.fetch_add(1, Ordering::Release);
    }

    fn settings(&self) -> CleanupSettings {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Works on cleanups until `over`. An error of the whole pass (the disk, another process at work) is tried
/// again with the next one; an error of one cleanup is in its file.
pub(super) fn clean(dir: &StateDir, cleaning: &Cleaning, over: &AtomicBool) {
    let stop = || over.load(Ordering::Relaxed);
    let (mut cleaner, mut changes) = (None, 0);
    while !stop() {
        let now = cleaning.changes.load(Ordering::Acquire);
        if std::mem::replace(&mut changes, now) != now {
            cleaner = None;
        }
        // The queue is read, a second time beside the scheduler's, when there is a cleanup at all.
        if cleaner.is_none() && list(dir).is_ok_and(|open| !open.is_empty()) {
            let made = |queue| Cleaner::new(dir.clone(), queue, cleaning.settings(), &stop);
            cleaner = Queue::open(dir).ok().map(made);
        }
        if let Some(working) = &mut cleaner
            && working.pass(false, &|_: &CleanupRecord| ()).is_err()
        {
            cleaner = None;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}
