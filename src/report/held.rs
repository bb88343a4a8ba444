//! Finds the repositories that a queued job would have to wait for, in addition to those that running jobs
//! have.

use std::collections::BTreeSet;

use serde_json::Value;

use super::locks::InspectedLock;
use crate::durable::DiskError;
use crate::jobs::{FreshnessLimits, JudgeContext, ProcessTable};
use crate::locks::{self, JobLiveness, LockInfo, LockVerdict};
use crate::queue::{Claim, Job, JobId, JobStatus, QueueState};
use crate::recovery::liveness_of;
use crate::state::StateDir;
use crate::system::Host;

/// Returns the repositories that somebody holds, and those whose holder cannot be determined: none of them is
/// granted now. Examines the locks only when a job waits for a repository at all.
pub fn held_repositories(dir: &StateDir, state: &QueueState) -> Result<BTreeSet<String>, DiskError> {
    if !state.jobs().any(|j| j.status == JobStatus::Queued && j.repository.is_some()) {
        return Ok(BTreeSet::new());
    }
    let kept =
        |lock: &LockInfo| lock.verdict.is_live() || matches!(lock.verdict, LockVerdict::Unknown { .. });
    let locks = with_liveness(dir, state, |liveness| locks::list(dir, liveness))?;
    Ok(locks.into_iter().filter(kept).map(|lock| lock.repository).collect())
}

/// Returns the lock that a running job has on its repository, as a report shows it; `null` when it has none.
pub(crate) fn lock_of(dir: &StateDir, state: &QueueState, job: &Job) -> Value {
    let Some(repository) = job.repository.as_deref().filter(|_| job.status == JobStatus::Running) else {
        return Value::Null;
    };
    let lock = with_liveness(dir, state, |liveness| locks::inspect(dir, repository, liveness));
    match lock {
        Ok(Some(lock)) if lock.job_id.as_ref() == Some(&job.id) => {
            serde_json::to_value(InspectedLock::of(dir, lock, state)).unwrap_or_default()
        }
        _ => Value::Null,
    }
}

pub(super) fn with_liveness<T>(
    dir: &StateDir,
    state: &QueueState,
    look_at: impl FnOnce(&dyn Fn(&JobId, Claim) -> JobLiveness) -> T,
) -> T {
    let running: Vec<Job> = state.running().cloned().collect();
    let (host, table) = (Host::this(), ProcessTable::new());
    let look = JudgeContext { dir, host: &host, table: &table, limits: FreshnessLimits::default() };
    look_at(&|id, claim| liveness_of(&look, &running, id, claim))
}
