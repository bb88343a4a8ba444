//! Queued jobs of which something lives all the same.
//!
//! The queue may have gone back in time (a backup was put back, whole or in part) while processes of its jobs
//! lived: then it says that a job waits, and a process says that it runs. The process is right. It is looked for
//! when the queue was read, and as long as one is found. One of which nobody can say whose it is keeps all of them
//! waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::jobs::{LivingJob, ProcessTable};
use crate::queue::{JobId, JobStatus, QueueState};
use crate::state::StateDir;

/// Between two looks at all processes, while a queued job is kept waiting by one.
const PAUSE: Duration = Duration::from_millis(500);

/// See the page.
#[derive(Debug, Default)]
pub(super) struct Occupied {
    jobs: BTreeMap<JobId, LivingJob>,
    /// Something of another incarnation lives, and it may be of any job.
    is_any_job: bool,
    looked: Option<Instant>,
}

impl Occupied {
    /// The queue was read anew.
    pub(super) fn forget(&mut self) {
        *self = Occupied::default();
    }

    /// Looks at the processes, when that is due.
    pub(super) fn look(&mut self, dir: &StateDir, state: &QueueState) {
        let is_waiting = |id: &JobId| state.get(id).is_some_and(|job| job.status == JobStatus::Queued);
        let is_due = match self.looked {
            None => true,
            Some(at) => {
                let mut living = self.jobs.iter();
                let is_worth_it = living.any(|(id, living)| is_waiting(id) || living.is_of_other_incarnation)
                    || self.is_any_job;
                at.elapsed() >= PAUSE && is_worth_it
            }
        };
        if is_due {
            let is_running = |id: &JobId| state.get(id).is_some_and(|job| job.status == JobStatus::Running);
            let table = ProcessTable::new();
            self.jobs = table.living_jobs(dir);
            // Of a job that the queue does not know nobody knows the repository either.
            let is_unknown = |(id, living): (&JobId, &LivingJob)| {
                living.is_of_other_incarnation && living.repositories.is_empty() && state.get(id).is_none()
            };
            self.is_any_job = self.jobs.iter().any(is_unknown) || table.unnamed_survivors(dir).is_some();
            for (id, living) in self.jobs.iter_mut().filter(|(_, living)| living.is_of_other_incarnation) {
                let repository = state.get(id).and_then(|job| job.repository.clone());
                living.repositories.extend(repository.map(|repository| repository.to_string()));
            }
            self.jobs.retain(|id, living| living.is_of_other_incarnation || !is_running(id));
            self.looked = Some(Instant::now());
        }
    }

    /// Whether something of the job lives.
    pub(super) fn has(&self, id: &JobId) -> bool {
        self.is_any_job || self.jobs.contains_key(id)
    }

    /// Whether another look is due by itself.
    pub(super) fn is_any(&self) -> bool {
        self.is_any_job || !self.jobs.is_empty()
    }

    /// The repositories that processes of another incarnation work on.
    pub(super) fn repositories(&self) -> BTreeSet<String> {
        let others = self.jobs.values().filter(|living| living.is_of_other_incarnation);
        others.flat_map(|living| living.repositories.iter().cloned()).collect()
    }
}
