//! Watching running jobs that are not our children: re-attached ones, other schedulers', taken-over ones.
//!
//! A look costs a few microseconds a job: is `sentinel.lock` held? Only when it is not is the job judged,
//! and not at once: a supervisor that was started a moment ago may not have its lock yet.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::durable::is_held;
use crate::queue::{Job, JobId};
use crate::state::StateDir;
use crate::system::{Presence, ProcessIdentity, presence};

/// How long a claim may stay without a supervisor before somebody else judges it.
const GRACE: Duration = Duration::from_secs(1);
/// How often a job that lives without its supervisor is judged again: that looks at all processes.
const ORPHAN_PAUSE: Duration = Duration::from_secs(2);

/// When which job is to be judged.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Since when the lock was seen free, and when to judge.
    due: HashMap<JobId, Instant>,
}

impl Watch {
    /// The jobs whose fate has to be looked into now.
    pub(super) fn due<'a>(&mut self, dir: &StateDir, jobs: impl Iterator<Item = &'a Job>) -> Vec<JobId> {
        let now = Instant::now();
        let mut free = HashMap::new();
        let mut due = Vec::new();
        for job in jobs.filter(|j| seems_gone(dir, j)) {
            let at = self.due.get(&job.id).copied().unwrap_or(now + GRACE);
            if at <= now {
                due.push(job.id.clone());
            }
            free.insert(job.id.clone(), if at <= now { now + ORPHAN_PAUSE } else { at });
        }
        self.due = free;
        due
    }
}

fn seems_gone(dir: &StateDir, job: &Job) -> bool {
    if let Some(adopted) = &job.course().adopted {
        let process = ProcessIdentity { pid: adopted.pid, start_time: adopted.start_time };
        return presence(process) == Presence::Gone;
    }
    let Ok(paths) = dir.paths.job(&job.id.to_string()) else { return false };
    !matches!(is_held(&paths.sentinel_lock()), Ok(true))
}
