//! Jobs for tests.

use crate::queue::{Claim, Job, JobSpec, JobStatus, QueuePosition};
use crate::state::Timestamp;

/// A running job of a given claim.
pub(crate) fn job(id: &str, claim: Claim) -> Job {
    let mut job = queued(id, &JobSpec { command: vec!["true".to_owned()], ..JobSpec::default() });
    job.status = JobStatus::Running;
    job.run_state_mut().claim = Some(claim);
    job
}

/// A queued job.
pub(crate) fn queued(id: &str, spec: &JobSpec) -> Job {
    Job {
        id: id.parse().unwrap(),
        place: QueuePosition { seq: 1, index: 0 },
        priority: 0,
        attempt: 1,
        status: JobStatus::Queued,
        repository: None,
        submitted_at: Timestamp::from_millis(1_000),
        not_before: None,
        run_state: None,
        raw_spec: serde_json::to_string(spec).unwrap().into(),
    }
}
