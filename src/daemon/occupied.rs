//! Queued jobs with living processes, and repositories used by processes of another incarnation.
//!
//! The queue may have gone back in time (a backup was restored, whole or in part) while processes of its jobs
//! lived: then it says that a job waits, and a process says that it runs. The process is right. Such
//! processes are looked for after the queue was read, and as long as one is found. One whose job is unknown
//! keeps all jobs waiting. One of a job that the queue does not know belongs to no other job: it closes its
//! repository, and all repositories when that is unknown. Processes under a lock of that time close the
//! lock's repository too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::jobs::{LivingJob, ProcessTable, Users};
use crate::locks::OtherTimes;
use crate::queue::{JobId, JobStatus, QueueState};
use crate::state::StateDir;

/// Between two looks at all processes, while a queued job is kept waiting by one.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(super) struct Occupied {
    jobs: BTreeMap<JobId, LivingJob>,
    /// Whether a process of another incarnation lives that may belong to any job.
    is_any_job: bool,
    /// Whether a process of another incarnation lives that belongs to a job that the queue does not know, and
    /// that may work on any repository.
    is_any_repository: bool,
    /// The wanted repositories that processes of another incarnation use, by the last look.
    repositories: BTreeSet<String>,
    looked: Option<Instant>,
}

impl Occupied {
    /// Notes that the queue was read anew.
    pub(super) fn forget(&mut self) {
        *self = Occupied::default();
    }

    /// Looks at the processes, when that is due. `wanted` are the repositories that queued jobs wait for.
    pub(super) fn look(&mut self, dir: &StateDir, state: &QueueState, wanted: &dyn Fn() -> BTreeSet<String>) {
        let is_waiting = |id: &JobId| state.get(id).is_some_and(|job| job.status == JobStatus::Queued);
        let is_due = match self.looked {
            None => true,
            Some(at) => {
                let mut living = self.jobs.iter();
                let is_worth_it = living.any(|(id, living)| is_waiting(id) || living.is_of_other_incarnation)
                    || self.is_any()
                    || dir.may_have_survivors();
                at.elapsed() >= PAUSE && is_worth_it
            }
        };
        if is_due {
            let is_running = |id: &JobId| state.get(id).is_some_and(|job| job.status == JobStatus::Running);
            let table = ProcessTable::new();
            self.jobs = table.living_jobs(dir);
            self.is_any_job = table.unnamed_survivors(dir).is_some();
            (self.is_any_repository, self.repositories) = (false, BTreeSet::new());
            for (id, living) in self.jobs.iter().filter(|(_, living)| living.is_of_other_incarnation) {
                self.repositories.extend(living.repositories.iter().cloned());
                match state.get(id) {
                    Some(job) => self.repositories.extend(job.repository.as_ref().map(ToString::to_string)),
                    None => self.is_any_repository |= !living.tells_repository,
                }
            }
            let others = OtherTimes::look(dir);
            let used = wanted().into_iter().filter(|repository| others.users_of(repository) != Users::None);
            self.repositories.extend(used);
            self.jobs.retain(|id, living| living.is_of_other_incarnation || !is_running(id));
            self.looked = Some(Instant::now());
        }
    }

    /// Whether a process of the job lives.
    pub(super) fn has(&self, id: &JobId) -> bool {
        self.is_any_job || self.jobs.contains_key(id)
    }

    /// Whether another look is due.
    pub(super) fn is_any(&self) -> bool {
        self.is_any_job || self.is_any_repository || !self.jobs.is_empty() || !self.repositories.is_empty()
    }

    /// Whether processes of another incarnation may work on a repository that is wanted.
    pub(super) fn closes(&self, repository: &str) -> bool {
        self.is_any_repository || self.repositories.contains(repository)
    }
}
