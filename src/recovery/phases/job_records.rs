//! Restores jobs from their own records: the last source, after log and snapshots.
//!
//! A record whose job the queue does not know belongs to a job that was lost with the log, because the
//! removal of a job begins with its record. A record that is ahead of the queue has an end, or a
//! cancellation, whose log record was lost: without it the job would run again.

use crate::findings::{Finding, Object, Severity, catalogue};
use crate::jobs::{RecoverSettings, record};
use crate::queue::{
    AfterCrash, AttemptOutcome, Claim, End, INTERRUPTED, Job, JobDocument, JobId, JobStatus, Method,
    Operation, QueueState, Repaired,
};
use crate::recovery::PhaseError;
use crate::state::StateDir;

/// Restores jobs. Also returns the jobs that the queue does not know and whose own records cannot be parsed.
pub(super) fn restore(
    dir: &StateDir,
    settings: &RecoverSettings,
    repaired: &mut Repaired,
) -> Result<(Vec<Finding>, Vec<JobId>), PhaseError> {
    let (mut findings, damaged) = restore_unknown(dir, settings, repaired)?;
    if repaired.may_lack_jobs {
        findings.extend(catch_up(dir, settings, repaired)?);
    }
    Ok((findings, damaged))
}

/// Enters jobs that only their own records have into the queue again, in their old order.
fn restore_unknown(
    dir: &StateDir,
    settings: &RecoverSettings,
    repaired: &mut Repaired,
) -> Result<(Vec<Finding>, Vec<JobId>), PhaseError> {
    let is_unknown = |state: &QueueState, id: &JobId| state.get(id).is_none();
    let (documents, damaged) = record::read_those(dir, |id| is_unknown(repaired.queue.state(), id))
        .map_err(|e| PhaseError::failed("read the jobs' own records", e))?;
    let (mut findings, mut lost) = (Vec::new(), Vec::new());
    for path in damaged {
        let at = dir.clock.now().to_string();
        let kept =
            dir.quarantine().take_file(&path, "not a job's record, and the queue knows no such job", &at);
        kept.map_err(|e| PhaseError::failed("keep a damaged job record", e))?;
        let sentence =
            "it cannot be understood and the queue knows no such job; it is in quarantine".to_owned();
        match record::job_of(&path) {
            // The loss is reported when it is known whether a workspace has traces of the job.
            Some(id) => lost.push(id),
            None => {
                let object = Object::file(&path);
                let finding = Finding::new(&catalogue::JOB_RECORD_DAMAGED, object, sentence);
                findings.push(finding.with_next("recoveryctl jobs list"));
            }
        }
    }
    if documents.is_empty() {
        return Ok((findings, lost));
    }
    let ids = transact(settings, repaired, |state| {
        let lost = documents.into_iter().filter(|d| is_unknown(state, &d.job_id)).map(reconstructed);
        // A position beyond the log's end belongs to a lost log, whose numbers have begun anew.
        let last = state.last_seq();
        let restore = |d: JobDocument| Operation::Restore {
            keeps_place: d.place.seq > 0 && d.place.seq <= last,
            document: Box::new(d),
        };
        lost.map(|d| (d.job_id.clone(), vec![restore(d)])).collect()
    })?;
    if !ids.is_empty() {
        repaired.recovered.method = Method::JobRecords;
    }
    findings.extend(ids.iter().map(|id| {
        let sentence = "the queue had lost it; it was rebuilt from its own record".to_owned();
        Finding::new(&catalogue::QUEUE_REBUILT_FROM_JOB_RECORDS, Object::job(id), sentence)
    }));
    Ok((findings, lost))
}

fn reconstructed(mut document: JobDocument) -> JobDocument {
    let run = document.run_state.get_or_insert_with(Box::default);
    run.reconstructed = Some(vec!["job record".to_owned()]);
    document
}

/// Brings jobs up to date that wait by the log, but have begun or are over by their own records.
fn catch_up(
    dir: &StateDir,
    settings: &RecoverSettings,
    repaired: &mut Repaired,
) -> Result<Vec<Finding>, PhaseError> {
    let waits = |state: &QueueState, id: &JobId| state.get(id).is_some_and(|j| j.status == JobStatus::Queued);
    let (documents, _) = record::read_those(dir, |id| waits(repaired.queue.state(), id))
        .map_err(|e| PhaseError::failed("read the jobs' own records", e))?;
    let ids = transact(settings, repaired, |state| {
        let later = |d: &JobDocument| Some((d.job_id.clone(), what_was_lost(state.get(&d.job_id)?, d)?));
        documents.iter().filter_map(later).collect()
    })?;
    Ok(ids
        .iter()
        .map(|id| {
            let sentence = "its own record knew more of it than the queue; the queue follows".to_owned();
            let finding = Finding::new(&catalogue::QUEUE_REBUILT_FROM_JOB_RECORDS, Object::job(id), sentence);
            finding.with_severity(Severity::Warning)
        })
        .collect())
}

/// Returns the operations that bring a waiting job to the state in its record; `None` when the record says no
/// more than the queue.
fn what_was_lost(job: &Job, document: &JobDocument) -> Option<Vec<Operation>> {
    let run = document.run_state.as_deref()?;
    let is_later = run.history.len() > job.run_state().history.len() && document.attempt == job.attempt;
    if job.status != JobStatus::Queued || !is_later {
        return None;
    }
    let id = job.id.clone();
    match document.status {
        JobStatus::Queued => None,
        JobStatus::Running => {
            Some(vec![Operation::Found { job: id, attempt: document.attempt, claim: run.claim? }])
        }
        JobStatus::Cancelled => Some(vec![Operation::Cancel { job: id }]),
        over => {
            let last = run.attempts.last().filter(|a| a.attempt == document.attempt)?;
            let (outcome, after_crash) = match over {
                JobStatus::TimedOut => (AttemptOutcome::TimedOut, None),
                JobStatus::Crashed if run.reason.as_deref() == Some(INTERRUPTED) => {
                    (AttemptOutcome::Interrupted, Some(AfterCrash::Hold))
                }
                JobStatus::Crashed => (AttemptOutcome::Crashed, Some(AfterCrash::Hold)),
                _ if last.signal.is_some() => (AttemptOutcome::Signaled, None),
                _ if last.exit_code.is_some() => (AttemptOutcome::Exited, None),
                _ => (AttemptOutcome::Crashed, Some(AfterCrash::Fail)),
            };
            Some(vec![Operation::End(End {
                job: id,
                attempt: document.attempt,
                // The claim's number is lost; the queue accepts any for a waiting job.
                claim: Claim::default(),
                outcome,
                exit_code: last.exit_code,
                signal: last.signal,
                ended_at: Some(last.finished_at),
                reason: last.reason.clone(),
                after_crash,
                started_at: last.started_at,
                ended_by: last.ended_by.clone(),
                by_itself: false,
                evidence: Vec::new(),
            })])
        }
    }
}

/// Records the operations of each job; returns the jobs that had any.
fn transact(
    settings: &RecoverSettings,
    repaired: &mut Repaired,
    decide: impl FnOnce(&QueueState) -> Vec<(JobId, Vec<Operation>)>,
) -> Result<Vec<JobId>, PhaseError> {
    let (_, ids) = repaired
        .queue
        .transact(&settings.actor, |state| {
            let (ids, operations): (Vec<JobId>, Vec<Vec<Operation>>) = decide(state).into_iter().unzip();
            (operations.into_iter().flatten().collect(), ids)
        })
        .map_err(|e| PhaseError::failed("record what the jobs' own records tell", e))?;
    Ok(ids)
}
