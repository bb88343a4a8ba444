//! Whether the jobs that locks belong to are alive, for those who ask outside of a recovery: `lock`,
//! `release`, reports.

use std::cell::RefCell;

use super::locks::liveness_of;
use crate::jobs::{FreshnessLimits, Look, ProcessTable};
use crate::locks::JobLiveness;
use crate::queue::{Job, JobId, Queue};
use crate::state::StateDir;
use crate::system::Host;

/// Answers by the queue as it is at the moment of the question: a claim that was made meanwhile is seen.
/// The queue is opened with the first question, which most locks do not ask.
pub struct JobHolders {
    dir: StateDir,
    limits: FreshnessLimits,
    queue: RefCell<Option<Queue>>,
}

impl JobHolders {
    /// For a state directory.
    #[must_use]
    pub fn new(dir: &StateDir, limits: FreshnessLimits) -> JobHolders {
        JobHolders { dir: dir.clone(), limits, queue: RefCell::default() }
    }

    /// Whether the attempt that this claim began is alive; unknown when the queue cannot be read.
    #[must_use]
    pub fn liveness(&self, id: &JobId, claim: u64) -> JobLiveness {
        let Some(running) = self.running(id) else { return JobLiveness::Unknown };
        let (host, table) = (Host::this(), ProcessTable::new());
        let look = Look { dir: &self.dir, host: &host, table: &table, limits: self.limits };
        liveness_of(&look, &running, id, claim)
    }

    /// The job, if it is running; `None` when that cannot be said.
    fn running(&self, id: &JobId) -> Option<Vec<Job>> {
        let mut slot = self.queue.borrow_mut();
        if slot.is_none() {
            *slot = Queue::open(&self.dir).ok();
        }
        let queue = slot.as_mut()?;
        queue.refresh().ok()?;
        Some(queue.state().running().filter(|job| job.id == *id).cloned().collect())
    }
}
