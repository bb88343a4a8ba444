//! Carries out recorded cancels of running jobs, again and again until they take effect.
//!
//! The process that records a cancel also tells the supervisor, and the supervisor reads the log itself. Both
//! may fail: the former was killed in between, or the latter is stopped, hangs, or is of an earlier version.
//! So the scheduler tells the supervisor again, with growing pauses.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::durable::Backoff;
use crate::jobs::{JudgeContext, ProcessTable, RecoverSettings, remind};
use crate::logging::events;
use crate::queue::{Claim, Job, JobId, QueueState};
use crate::state::StateDir;
use crate::system::Host;
use tracing::info;

/// How long the process that recorded the cancel, and the supervisor, which also reads the log, have before
/// the first reminder.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// The cancels that have not taken effect yet.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    told: HashMap<JobId, Told>,
}

#[derive(Debug)]
struct Told {
    claim: Option<Claim>,
    next: Instant,
    backoff: Backoff,
}

impl Wishes {
    /// Reminds the supervisors of cancelled jobs. Returns the unsupervised ones, which the caller must end.
    pub(super) fn repeat(
        &mut self,
        dir: &StateDir,
        state: &QueueState,
        settings: &RecoverSettings,
    ) -> Vec<Job> {
        let owed: Vec<&Job> = state.running().filter(|job| job.run_state().cancel_requested).collect();
        self.told.retain(|id, told| owed.iter().any(|j| j.id == *id && j.run_state().claim == told.claim));
        let now = Instant::now();
        let due: Vec<&Job> = owed.into_iter().filter(|job| self.is_due(job, now)).collect();
        if due.is_empty() {
            return Vec::new();
        }
        let (host, table) = (Host::this(), ProcessTable::new());
        let look = JudgeContext { dir, host: &host, table: &table, limits: settings.limits };
        for job in &due {
            let id = &job.id;
            info!(event = events::JOB_CANCELLED, job_id = %id, "the end of job {id} is owed: its supervisor is reminded");
        }
        let is_alone = |job: &&&Job| remind(&look, job);
        due.iter().filter(is_alone).map(|job| (*job).clone()).collect()
    }

    fn is_due(&mut self, job: &Job, now: Instant) -> bool {
        let claim = job.run_state().claim;
        let first = || Told { claim, next: now + FIRST, backoff: Backoff::new(2 * FIRST, LONGEST) };
        let told = self.told.entry(job.id.clone()).or_insert_with(first);
        if now < told.next {
            return false;
        }
        told.next = now + told.backoff.pause();
        true
    }
}
