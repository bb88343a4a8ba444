//! The files that ended jobs left, and the records of all jobs.

use super::shared::Shared;
use crate::durable::error_chain;
use crate::findings::{Finding, Object, catalogue};
use crate::jobs::{damaged_files, record};
use crate::logging::events;
use crate::queue::{JobId, Operation, Queue, QueueState};
use crate::recovery::{DegradedResource, PhaseContext, PhaseError, PhaseOutcome};
use tracing::warn;

/// How many records that could not be written are named one by one.
const NAMED: usize = 20;

/// Writes records that are missing, damaged or behind the queue. The queue is the truth and the records
/// follow it: a record that cannot be written is reported and stops nothing.
pub(super) fn rebuild_records(
    shared: &Shared,
    context: &PhaseContext,
    queue: &mut Queue,
    outcome: &mut PhaseOutcome,
) {
    let stop = || context.check_interrupted().is_err();
    let mut damaged = Vec::new();
    match record::write_waiting(&shared.dir, &record::waiting(queue.state()), &stop) {
        Ok(waiting) => damaged.extend(waiting.damaged),
        Err(e) => not_written(outcome, Object::Jobs, error_chain(&e)),
    }
    let mut missing = Vec::new();
    match record::rebuild(&shared.dir, queue.state(), &mut |_, _| {}) {
        Ok(rebuilt) => {
            damaged.extend(rebuilt.damaged);
            missing = rebuilt.missing;
            for (path, why) in rebuilt.failed {
                not_written(outcome, Object::file(&path), why);
            }
        }
        Err(e) => not_written(outcome, Object::Jobs, error_chain(&e)),
    }
    let lost: Vec<JobId> = damaged.iter().map(|(id, _)| id).chain(&missing).cloned().collect();
    if let Err(e) = tell_records(shared, queue, &lost) {
        not_written(outcome, Object::Queue, error_chain(&e));
    }
    outcome.findings.extend(damaged.iter().map(|(id, path)| {
        let sentence = format!(
            "its record {} could not be understood; it was written anew, a copy is in quarantine",
            path.display()
        );
        Finding::new(&catalogue::JOB_RECORD_DAMAGED, Object::job(id), sentence)
    }));
    outcome.findings.extend(missing.iter().map(|id| {
        let sentence = "its record was lost; it was written anew from the queue".to_owned();
        Finding::new(&catalogue::JOB_RECORD_MISSING, Object::job(id), sentence)
    }));
}

/// Reports records that had been lost.
fn tell_records(shared: &Shared, queue: &mut Queue, lost: &[JobId]) -> Result<(), PhaseError> {
    if lost.is_empty() {
        return Ok(());
    }
    let from = || vec!["queue log".to_owned()];
    let rebuilt = |job: &JobId| Operation::Rebuilt { job: job.clone(), from: from() };
    // A record that was reconstructed already says so.
    let is_told = |job: &crate::queue::Job| job.run_state().reconstructed.is_some();
    let tells = |id: &&JobId, state: &QueueState| state.get(id).is_some_and(|job| !is_told(job));
    queue
        .transact(&shared.settings.jobs.actor, |state| {
            (lost.iter().filter(|id| tells(id, state)).map(rebuilt).collect(), ())
        })
        .map_err(|e| PhaseError::failed("record which records were lost", e))?;
    for job in lost.iter().filter_map(|id| queue.state().get(id)) {
        if let Err(e) = record::write(&shared.dir, job) {
            // A record is derived: the next recovery writes it.
            warn!(event = events::TROUBLE, job_id = %job.id, "the record of job {} is not written: {}", job.id, error_chain(&e));
        }
    }
    Ok(())
}

/// Moves damaged files of jobs that are over to quarantine. Those of running jobs are part of their verdicts.
pub(super) fn check_ended(shared: &Shared, queue: &Queue) -> Result<Vec<Finding>, PhaseError> {
    let found = damaged_files(&shared.dir, queue.state())
        .map_err(|e| PhaseError::failed("look at the workspaces of jobs that are over", e))?;
    let told = found.into_iter().map(|file| {
        let name = file.name;
        let sentence = match file.kept {
            Ok(_) => format!("{name} of its attempts cannot be understood; it is in quarantine now"),
            Err(why) => format!("{name} of its attempts cannot be understood and was left there: {why}"),
        };
        Finding::new(&catalogue::JOB_FILE_DAMAGED, Object::job(&file.job), sentence)
    });
    Ok(told.collect())
}

fn not_written(outcome: &mut PhaseOutcome, object: Object, why: String) {
    let known = outcome.findings.iter().filter(|f| f.code == catalogue::JOB_RECORD_NOT_WRITTEN.code).count();
    if known == 0 {
        outcome.degraded.push(DegradedResource { object: Object::Disk, why: why.clone() });
    }
    // When the disk is full, every record fails for the same reason.
    if known < NAMED {
        outcome.findings.push(Finding::new(&catalogue::JOB_RECORD_NOT_WRITTEN, object, why));
    }
}
