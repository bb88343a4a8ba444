//! The daemon's cleanups: they run beside the jobs, whenever one is due.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cleanup::{Cleaner, CleanupRecord, CleanupSettings, list};
use crate::logging::{Repeats, events};
use crate::queue::Queue;
use crate::state::StateDir;
use tracing::{debug, info, warn};

/// How long it may take until a new cleanup is seen.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The settings of cleanups, which may change.
pub(super) struct Cleaning {
    settings: Mutex<CleanupSettings>,
    /// Counts the changes of the settings.
    changes: AtomicU64,
}

impl Cleaning {
    pub(super) fn new(settings: CleanupSettings) -> Cleaning {
        Cleaning { settings: Mutex::new(settings), changes: AtomicU64::new(0) }
    }

    /// Uses other settings from the next pass on.
    pub(super) fn take_over(&self, settings: CleanupSettings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
        self.changes.fetch_add(1, Ordering::Release);
    }

    fn settings(&self) -> CleanupSettings {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Logs the result of a cleanup's last step.
fn tell(record: &CleanupRecord) {
    let (id, job_id) = (&record.cleanup_id, &record.job_id);
    if record.is_over() {
        info!(
            event = events::CLEANUP_ENDED,
            cleanup_id = id, job_id = %job_id, bytes_freed = record.bytes_freed,
            "cleanup {id} of job {job_id} is done"
        );
        return;
    }
    let failed = record.phases.iter().find_map(|phase| Some((phase, phase.error.as_deref()?)));
    match failed {
        Some((phase, why)) => warn!(
            event = events::CLEANUP_RETRIED,
            cleanup_id = id, job_id = %job_id, phase = phase.phase.as_str(),
            "cleanup {id} of job {job_id} failed at {}: {why}", phase.phase.as_str()
        ),
        None => {
            debug!(event = events::CLEANUP_RETRIED, cleanup_id = id, job_id = %job_id, "cleanup {id} goes on");
        }
    }
}

/// Works on cleanups until `over`. An error of the whole pass (the disk, another process at work) is tried
/// again with the next one; an error of one cleanup is in its file.
pub(super) fn clean(dir: &StateDir, cleaning: &Cleaning, over: &AtomicBool) {
    let stop = || over.load(Ordering::Relaxed);
    let (mut cleaner, mut changes) = (None, 0);
    let trouble = Repeats::new("cleanups cannot be worked on");
    while !stop() {
        let now = cleaning.changes.load(Ordering::Acquire);
        if std::mem::replace(&mut changes, now) != now {
            cleaner = None;
        }
        // The queue is read (in addition to the scheduler's copy) only when there is a cleanup at all.
        if cleaner.is_none() && trouble.note(list(dir)).is_some_and(|open| !open.is_empty()) {
            let made = |queue| Cleaner::new(dir.clone(), queue, cleaning.settings(), &stop);
            cleaner = trouble.note(Queue::open(dir)).map(made);
        }
        if let Some(working) = &mut cleaner
            && trouble.note(working.pass(false, &tell)).is_none()
        {
            cleaner = None;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}
