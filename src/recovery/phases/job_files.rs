//! The files that jobs which are over have left, and the records of all jobs.

use super::sequence::Shared;
use crate::jobs::{damaged_files, record};
use crate::queue::{JobId, Operation, Queue, QueueState};
use crate::recovery::{PhaseContext, PhaseError};
use crate::report::{Finding, catalogue};

/// Writes records that are missing, damaged or behind.
pub(super) fn rebuild_records(
    shared: &Shared,
    context: &PhaseContext,
    queue: &mut Queue,
) -> Result<Vec<Finding>, PhaseError> {
    let stop = || context.checkpoint().is_err();
    let waiting = record::write_waiting(&shared.dir, &record::waiting(queue.state()), &stop)
        .map_err(|e| PhaseError::failed("write the records of waiting jobs", e))?;
    let rebuilt = record::rebuild(&shared.dir, queue.state(), &mut |_, _| {})
        .map_err(|e| PhaseError::failed("write the jobs' own records", e))?;
    let damaged = || rebuilt.damaged.iter().chain(&waiting.damaged);
    let lost: Vec<JobId> = damaged().map(|(id, _)| id).chain(&rebuilt.missing).cloned().collect();
    tell_records(shared, queue, &lost)?;
    let mut findings: Vec<Finding> = damaged()
        .map(|(id, path)| {
            let sentence = format!(
                "the record of job {id} could not be understood; it was written anew, a copy is in quarantine"
            );
            Finding::new(&catalogue::JOB_RECORD_DAMAGED, format!("file:{}", path.display()), sentence)
        })
        .collect();
    findings.extend(rebuilt.missing.iter().map(|id| {
        let sentence = "its record was lost; it was written anew from the queue".to_owned();
        Finding::new(&catalogue::JOB_RECORD_MISSING, format!("job:{id}"), sentence)
    }));
    Ok(findings)
}

/// A record that had been lost says so.
fn tell_records(shared: &Shared, queue: &mut Queue, lost: &[JobId]) -> Result<(), PhaseError> {
    if lost.is_empty() {
        return Ok(());
    }
    let from = || vec!["queue log".to_owned()];
    let rebuilt = |job: &JobId| Operation::Rebuilt { job: job.clone(), from: from() };
    // One that was rebuilt from less keeps saying so.
    let is_told = |job: &crate::queue::Job| job.course().reconstructed.is_some();
    let tells = |id: &&JobId, state: &QueueState| state.get(id).is_some_and(|job| !is_told(job));
    queue
        .transact(&shared.settings.jobs.actor, |state| {
            (lost.iter().filter(|id| tells(id, state)).map(rebuilt).collect(), ())
        })
        .map_err(|e| PhaseError::failed("record which records were lost", e))?;
    for job in lost.iter().filter_map(|id| queue.state().get(id)) {
        // Derived: the next recovery writes it, should this fail.
        let _ = record::write(&shared.dir, job);
    }
    Ok(())
}

/// Damaged files of jobs that are over go to quarantine. Those of running jobs are part of their verdicts.
pub(super) fn check_ended(shared: &Shared, queue: &Queue) -> Result<Vec<Finding>, PhaseError> {
    let found = damaged_files(&shared.dir, queue.state())
        .map_err(|e| PhaseError::failed("look at the workspaces of jobs that are over", e))?;
    let told = found.into_iter().map(|file| {
        let name = file.name;
        let sentence = match file.kept {
            Ok(_) => format!("{name} in its workspace cannot be understood; it is in quarantine now"),
            Err(why) => format!("{name} in its workspace cannot be understood and was left there: {why}"),
        };
        Finding::new(&catalogue::JOB_FILE_DAMAGED, format!("job:{}", file.job), sentence)
    });
    Ok(told.collect())
}
