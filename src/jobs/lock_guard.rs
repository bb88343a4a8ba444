//! Locks a job that is over: while its lock is held, no supervisor can begin anything for it.

use super::recover::lock_job;
use crate::durable::{Disk, FileLock, LockError};
use crate::queue::JobId;
use crate::state::{JobPaths, StateDir};

/// A job's `sentinel.lock`, held exclusively. If there was no lock file before, none is left afterwards.
#[derive(Debug)]
pub(crate) struct JobLockGuard {
    _lock: FileLock,
    made: Option<(Disk, JobPaths)>,
}

/// Locks a job's files; makes its lock, and the lock's folder, when they do not exist.
///
/// # Errors
/// [`LockError::Held`] when a supervisor, or a process that judges the job, holds it.
pub(crate) fn lock_job_files(dir: &StateDir, id: &JobId) -> Result<JobLockGuard, LockError> {
    let paths = dir.paths.job(&id.to_string()).ok();
    let made = paths.filter(|paths| !paths.attempts.exists()).map(|paths| (dir.disk.clone(), paths));
    lock_job(dir, id).map(|lock| JobLockGuard { _lock: lock, made })
}

impl Drop for JobLockGuard {
    fn drop(&mut self) {
        let Some((disk, paths)) = &self.made else { return };
        let lock = paths.sentinel_lock();
        let names = || std::fs::read_dir(&paths.attempts).into_iter().flatten().flatten();
        // The lock is still held: a process that waits for it checks the name again, and makes another file.
        if names().all(|entry| entry.path() == lock) {
            // If this fails, an unlocked file is left; the next startup removes it.
            let _ = disk.remove_file(&lock).and_then(|()| disk.remove_dir(&paths.attempts));
        }
    }
}
