//! Logs one line for each job that came to an end, recorded by any process: it ran at the last look at the
//! queue, and does not run any more.

use std::collections::HashMap;

use tracing::{debug, info, warn};

use crate::logging::events;
use crate::queue::{Claim, Job, JobId, JobStatus, QueueState};

/// The jobs that run, with their claims.
#[derive(Debug, Default)]
pub(super) struct Told {
    running: HashMap<JobId, Option<Claim>>,
}

impl Told {
    /// Logs the ends since the last look.
    pub(super) fn look(&mut self, state: &QueueState) {
        let now: HashMap<JobId, Option<Claim>> =
            state.running().map(|job| (job.id.clone(), job.run_state().claim)).collect();
        for (id, claim) in self.running.iter().filter(|(id, claim)| now.get(*id) != Some(claim)) {
            if let Some(job) = state.get(id) {
                tell_end(job, *claim);
            }
        }
        self.running = now;
    }
}

fn tell_end(job: &Job, claim: Option<Claim>) {
    let (id, run_state) = (&job.id, job.run_state());
    let repository = job.repository.as_deref();
    let ended = run_state.attempts.last();
    // The job is queued again: after an attempt that ended, by policy, or without one.
    let (status, attempt, reason) = match (job.status, ended) {
        (JobStatus::Queued | JobStatus::Running, Some(ended)) if ended.attempt + 1 == job.attempt => {
            (ended.status, ended.attempt, ended.reason.as_deref())
        }
        (JobStatus::Queued | JobStatus::Running, _) => {
            let reason = run_state.history.iter().rev().find(|turn| turn.status == JobStatus::Queued);
            let reason = reason.and_then(|turn| turn.reason.as_deref());
            let why = reason.unwrap_or("its claim was given back");
            info!(
                event = events::JOB_RETURNED,
                job_id = %id, attempt = job.attempt, claim = claim.map(Claim::seq), repository, reason,
                "job {id} is back in the queue: {why}"
            );
            return;
        }
        (status, _) => (status, job.attempt, run_state.reason.as_deref()),
    };
    let exit_code = ended.map_or(run_state.exit_code, |ended| ended.exit_code);
    let signal = ended.map_or(run_state.signal, |ended| ended.signal);
    let how = match (exit_code, signal) {
        (Some(code), _) => format!(", exit status {code}"),
        (None, Some(signal)) => format!(", signal {signal}"),
        (None, None) => String::new(),
    };
    let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let then = if job.status == JobStatus::Queued { "; it is in the queue again" } else { "" };
    let word = status.as_str().replace('_', " ");
    if status == JobStatus::Crashed {
        warn!(
            event = events::JOB_CRASHED,
            job_id = %id, attempt, claim = claim.map(Claim::seq), repository, status = status.as_str(), exit_code, signal, reason,
            "job {id} crashed{how}{why}{then}"
        );
    } else {
        info!(
            event = events::JOB_ENDED,
            job_id = %id, attempt, claim = claim.map(Claim::seq), repository, status = status.as_str(), exit_code, signal, reason,
            "job {id} ended: {word}{how}{why}{then}"
        );
    }
}

/// Logs that a supervisor was started for a claim.
pub(super) fn tell_start(job: Option<&Job>, claim: Claim) {
    let Some(job) = job else { return };
    let id = &job.id;
    info!(
        event = events::JOB_STARTED,
        job_id = %id, attempt = job.attempt, claim = claim.seq(), repository = job.repository.as_deref(),
        "job {id} started, attempt {}", job.attempt
    );
}

/// Logs the judgement of a running job; [`Told`] logs its end.
pub(super) fn tell_judgement(judged: &crate::jobs::Reconciled) {
    use crate::jobs::{Reconciliation, Verdict};
    let id = &judged.job_id;
    let verdict = judged.judgement.verdict.as_str();
    match (&judged.reconciliation, &judged.judgement.verdict) {
        (Reconciliation::Unknown { why }, _) => warn!(
            event = events::JOB_JUDGED,
            job_id = %id, verdict, finding_code = "job-liveness-unknown",
            "whether job {id} lives cannot be said: {why}"
        ),
        (Reconciliation::Reattached, Verdict::OrphanedProcess { processes }) => warn!(
            event = events::JOB_ORPHANED,
            job_id = %id, verdict, processes = processes.len(),
            "job {id} lives without its supervisor"
        ),
        (reconciliation, _) => debug!(
            event = events::JOB_JUDGED,
            job_id = %id, verdict, reconciliation = reconciliation.as_str(),
            "job {id} was judged: {verdict}"
        ),
    }
}
