//! The daemon's cleanups: beside the jobs, whenever one is due.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cleanup::{Cleaner, CleanupRecord, CleanupSettings, list};
use crate::queue::Queue;
use crate::state::StateDir;

/// At most so long until a new cleanup is seen.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Works on cleanups until `over`. What goes wrong as a whole (the disk, another process at work) is tried
/// again with the next look; what goes wrong with one cleanup is in its file.
pub(super) fn clean(dir: &StateDir, settings: &CleanupSettings, over: &AtomicBool) {
    let stop = || over.load(Ordering::Relaxed);
    let mut cleaner = None;
    while !stop() {
        // The queue is read, a second time beside the scheduler's, when there is a cleanup at all.
        if cleaner.is_none() && list(dir).is_ok_and(|open| !open.is_empty()) {
            cleaner =
                Queue::open(dir).ok().map(|queue| Cleaner::new(dir.clone(), queue, settings.clone(), &stop));
        }
        if let Some(working) = &mut cleaner
            && working.pass(false, &|_: &CleanupRecord| ()).is_err()
        {
            cleaner = None;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}
