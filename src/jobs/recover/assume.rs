//! An operator's decision that a job is dead when neither life nor death can be proven.
//!
//! Proof wins over the decision: a living job is never declared dead, and a job that is provably over is recorded
//! as it ended. The decision itself is written as the attempt's `exit.json`, with the reason, so that every
//! process that judges the job afterwards (`resume`, the supervisor of its next attempt) finds it; then the end
//! is recorded. After a kill in between, the next recovery records it.

use super::policy::after_crash;
use super::reconcile::{Reconciliation, RecoverError, RecoverSettings, crashed, lock_job, reconciliation_of};
use crate::durable::{DiskError, LockError};
use crate::jobs::evidence::{judge, judge_locked};
use crate::jobs::exit_record::ExitRecord;
use crate::jobs::judgement::JudgeContext;
use crate::jobs::process_table::ProcessTable;
use crate::jobs::stored::DOCUMENT_VERSION;
use crate::jobs::verdict::{Liveness, Verdict};
use crate::queue::{End, Job, JobId, JobStatus, Operation, Queue};
use crate::state::StateDir;
use crate::system::{Host, is_network};

/// Why a job was not declared dead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssumeRefused {
    /// The queue has no such job.
    #[error("there is no such job")]
    NoSuchJob,
    /// The job waits, or is over.
    #[error("it is {status}, not running")]
    NotRunning {
        /// The job's status.
        status: JobStatus,
    },
    /// The job lives.
    #[error("it is alive: {why}")]
    Alive {
        /// The evidence.
        why: String,
    },
}

/// Declares a running job dead, and records its end as a crash, with the consequence by its policy; a job that
/// provably ended is recorded as it ended. With `dry_run` nothing is changed.
pub fn assume_dead(
    dir: &StateDir,
    queue: &mut Queue,
    id: &JobId,
    settings: &RecoverSettings,
    dry_run: bool,
) -> Result<Result<Reconciliation, AssumeRefused>, RecoverError> {
    queue.refresh()?;
    let Some(job) = queue.state().get(id).cloned() else { return Ok(Err(AssumeRefused::NoSuchJob)) };
    if job.status != JobStatus::Running {
        return Ok(Err(AssumeRefused::NotRunning { status: job.status }));
    }
    let (host, table) = (Host::this(), ProcessTable::new());
    let look = JudgeContext { dir, host: &host, table: &table, limits: settings.limits };
    let alive = |verdict: &Verdict| Ok(Err(AssumeRefused::Alive { why: verdict.as_str().replace('_', " ") }));
    let mut judgement = judge(&look, &job);
    if judgement.liveness() == Liveness::Alive {
        return alive(&judgement.verdict);
    }
    let mut _lock = None;
    // Where a flock proves nothing it may also block.
    if !dry_run && is_network(&dir.paths.jobs()).is_none() {
        match lock_job(dir, id) {
            Ok(lock) => _lock = Some(lock),
            Err(LockError::Held { .. }) => return alive(&Verdict::Unidentified),
            Err(LockError::Disk(e)) => return Err(e.into()),
        }
        let table = ProcessTable::new();
        judgement = judge_locked(&JudgeContext { table: &table, ..look }, &job);
        if judgement.liveness() == Liveness::Alive {
            return alive(&judgement.verdict);
        }
    }
    let now = dir.clock.now();
    let (reconciliation, operation) = match &judgement.verdict {
        Verdict::Unknown { why } => {
            let reason = format!("declared dead by an operator; {why}");
            let then = after_crash(&job, now, settings.requeue);
            crashed(&job, job.run_state().claim.unwrap_or_default(), &reason, then)
        }
        _ => reconciliation_of(dir, &job, &judgement, now, settings),
    };
    if !dry_run {
        if let (Verdict::Unknown { .. }, Some(Operation::End(end))) = (&judgement.verdict, &operation) {
            write_decision(dir, &job, end)?;
        }
        queue.transact(&settings.actor, |state| {
            let is_unchanged = state.get(id).is_some_and(|now| {
                now.status == JobStatus::Running && now.run_state().claim == job.run_state().claim
            });
            let operations: Vec<Operation> = operation.filter(|_| is_unchanged).into_iter().collect();
            (operations, ())
        })?;
    }
    Ok(Ok(reconciliation))
}

fn write_decision(dir: &StateDir, job: &Job, end: &End) -> Result<(), DiskError> {
    let Ok(paths) = dir.paths.job(&job.id.to_string()) else { return Ok(()) };
    let now = dir.clock.now();
    let decision = ExitRecord {
        version: DOCUMENT_VERSION,
        job_id: end.job.clone(),
        attempt: end.attempt,
        claim: end.claim,
        outcome: end.outcome,
        exit_code: None,
        signal: None,
        reason: end.reason.clone(),
        ended_by: None,
        by_itself: false,
        started_at: job.run_state().started_at.unwrap_or(now),
        finished_at: now,
        tree_empty: true,
        leftovers_ended: 0,
        cpu_ms: None,
        state: Some(dir.stamp()),
        resources: None,
    };
    dir.ensure_attempts(&paths)?;
    decision.write(&dir.disk, &paths.exit())
}
