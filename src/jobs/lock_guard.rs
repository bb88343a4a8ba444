//! Locks a job that is over: while its lock is held, no supervisor can begin anything for it.

use super::process_table::{ProcessTable, Wanted};
use super::recover::lock_job;
use crate::durable::{Disk, FileLock, LockError};
use crate::queue::JobId;
use crate::state::{JobPaths, StateDir};
use crate::system::ProcessIdentity;

/// A job's `sentinel.lock`, held exclusively. Where there was none before, there is none afterwards.
#[derive(Debug)]
pub struct JobLockGuard {
    _lock: FileLock,
    made: Option<(Disk, JobPaths)>,
}

/// Locks a job's files; makes its lock, and the lock's folder, when they do not exist.
///
/// # Errors
/// [`LockError::Held`] when a supervisor, or a process that judges the job, holds it.
pub fn lock_job_files(dir: &StateDir, id: &JobId) -> Result<JobLockGuard, LockError> {
    let paths = dir.paths.job(&id.to_string()).ok();
    let made = paths.filter(|paths| !paths.attempts.exists()).map(|paths| (dir.disk.clone(), paths));
    lock_job(dir, id).map(|lock| JobLockGuard { _lock: lock, made })
}

impl Drop for JobLockGuard {
    fn drop(&mut self) {
        let Some((disk, paths)) = &self.made else { return };
        let lock = paths.sentinel_lock();
        let names = || std::fs::read_dir(&paths.attempts).into_iter().flatten().flatten();
        // The lock is still held: a process that waits for it looks at the name again, and makes another.
        if names().all(|entry| entry.path() == lock) {
            // The rest is an unlocked file; the next startup removes it.
            let _ = disk.remove_file(&lock).and_then(|()| disk.remove_dir(&paths.attempts));
        }
    }
}

/// The living processes of a job, whatever the queue says of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Living {
    /// Processes that bear its mark, write to its output, or were called to supervise it.
    pub processes: Vec<ProcessIdentity>,
    /// Why one may have been missed.
    pub doubt: Option<String>,
}

/// Looks for living processes of a job, in whichever attempt. `table` is a picture of one moment: to
/// act on it, make a new one.
pub fn living_of(dir: &StateDir, id: &JobId, table: &ProcessTable) -> Living {
    let Ok(paths) = dir.paths.job(&id.to_string()) else { return Living::default() };
    let output = paths.output();
    let (state_id, mark) = (dir.identity.state_id.to_string(), dir.mark());
    let wanted = Wanted {
        job: id,
        root: dir.paths.root(),
        state_id: &state_id,
        mark: &mark,
        output: &output,
        output_pipe: None,
        claim: None,
        is_begun: false,
        supervisor: None,
        uid: Some(rustix::process::geteuid().as_raw()),
        since: None,
    };
    let mut processes = table.of_job(&wanted);
    processes.extend(table.attendants(&wanted));
    processes.extend(table.of_other_incarnations(&wanted));
    let mut doubt = table.doubt(&wanted);
    // Without marks: found by their control groups and by the output that they print into.
    if dir.may_have_survivors()
        && let Some(living) =
            table.living_jobs(dir).remove(id).filter(|living| living.is_of_other_incarnation)
    {
        if living.processes.is_empty() {
            doubt =
                Some("it has processes, from before a backup was put back, that cannot be seen".to_owned());
        }
        processes.extend(living.processes);
    }
    if table.unnamed_survivors(dir).is_some() {
        doubt = Some(
            "processes of an unknown job, which may be this one, live from before a backup was put back"
                .to_owned(),
        );
    }
    processes.sort_by_key(|p| p.pid);
    processes.dedup();
    Living { processes, doubt }
}
