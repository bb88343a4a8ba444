//! Attempts whose claim the log has lost: a queued job with files of its present attempt.
//!
//! Without this, a damaged `claim` record would let a job that runs, or has run, start again.

use super::reconcile::{RecoverError, RecoverSettings, lock_job, reconciliation_of};
use super::reconstruct::jobs_with_files;
use crate::jobs::evidence::{judge, judge_locked};
use crate::jobs::exit_record::ExitRecord;
use crate::jobs::judgement::{JudgeContext, Judgement};
use crate::jobs::process_table::ProcessTable;
use crate::jobs::sentinel::Sentinel;
use crate::jobs::verdict::Liveness;
use crate::queue::{Claim, Job, JobId, JobStatus, Operation, Queue, QueueState};
use crate::state::StateDir;
use crate::system::Host;

/// Records every such attempt as found, with its outcome; returns the jobs whose record was applied.
pub(super) fn find_lost_claims(
    dir: &StateDir,
    queue: &mut Queue,
    settings: &RecoverSettings,
) -> Result<Vec<JobId>, RecoverError> {
    let suspects = suspects(dir, queue.state())?;
    let mut found = Vec::new();
    for (job, claim) in suspects {
        if find(dir, queue, settings, &job, claim)? {
            found.push(job.id);
        }
    }
    Ok(found)
}

/// Queued jobs with a trace of their present attempt, which was begun after they entered the queue.
fn suspects(dir: &StateDir, state: &QueueState) -> Result<Vec<(Job, Claim)>, RecoverError> {
    let ids = jobs_with_files(dir)?;
    let queued = ids.iter().filter_map(|id| state.get(id)).filter(|job| job.status == JobStatus::Queued);
    Ok(queued.filter_map(|job| Some((job.clone(), trace_of(dir, job)?))).collect())
}

/// The claim in the job's files, if it belongs to the job's present attempt.
fn trace_of(dir: &StateDir, job: &Job) -> Option<Claim> {
    let paths = dir.paths.job(&job.id.to_string()).ok()?;
    let sentinel = Sentinel::read(&paths.sentinel()).ok()?;
    let exit = ExitRecord::read(&paths.exit()).ok()?;
    let named = sentinel.whole().map(|s| (&s.job_id, s.attempt, s.claim));
    let named = named.or_else(|| exit.whole().map(|e| (&e.job_id, e.attempt, e.claim)));
    // An earlier job of the same name was claimed before this one was submitted.
    named
        .filter(|(id, attempt, claim)| {
            **id == job.id && *attempt == job.attempt && *claim > Claim::of_record(job.place.seq)
        })
        .map(|(_, _, claim)| claim)
}

fn find(
    dir: &StateDir,
    queue: &mut Queue,
    settings: &RecoverSettings,
    job: &Job,
    claim: Claim,
) -> Result<bool, RecoverError> {
    let mut claimed = job.clone();
    claimed.run_state_mut().claim = Some(claim);
    let host = Host::this();
    let look = |table: &ProcessTable, judge: fn(&JudgeContext<'_>, &Job) -> Judgement| {
        judge(&JudgeContext { dir, host: &host, table, limits: settings.limits }, &claimed)
    };
    let mut judgement = look(&ProcessTable::new(), judge);
    let lock = match judgement.liveness() {
        Liveness::Dead => match lock_job(dir, &job.id) {
            Ok(lock) => Some(lock),
            Err(_) => return Ok(false), // Another process is starting or judging it: the next run decides.
        },
        Liveness::Alive | Liveness::Unknown => None,
    };
    if lock.is_some() {
        judgement = look(&ProcessTable::new(), judge_locked);
    }
    let operation = reconciliation_of(dir, &claimed, &judgement, dir.clock.now(), settings).1;
    let is_waiting =
        |now: Option<&Job>| now.is_some_and(|n| n.status == JobStatus::Queued && n.attempt == job.attempt);
    let (_, is_recorded) = queue.transact(&settings.actor, |state| {
        if !is_waiting(state.get(&job.id)) {
            return (Vec::new(), false);
        }
        let found = Operation::Found { job: job.id.clone(), attempt: job.attempt, claim };
        (std::iter::once(found).chain(operation).collect(), true)
    })?;
    // The record has no effect while another job has the repository.
    Ok(is_recorded && !is_waiting(queue.state().get(&job.id)))
}
