//! Phase `jobs`: re-attaches to live jobs, records missed exits, applies the crash policy to jobs that
//! vanished, and brings the jobs' own records up to date.

use super::job_files::{check_ended, rebuild_records};
use super::shared::Shared;
use crate::findings::{Finding, Object, catalogue, shell_word};
use crate::jobs::findings::of_judgement;
use crate::jobs::{Judgement, Reattachment, Reconciled, ReconciledJob, Reconciliation, reattach, sweep};
use crate::prune::finish_removals;
use crate::queue::{AfterCrash, INTERRUPTED, JobId, JobStatus, Queue};
use crate::recovery::{DegradedResource, PhaseContext, PhaseError, PhaseOutcome};

pub(super) fn run(shared: &Shared, context: &PhaseContext) -> Result<PhaseOutcome, PhaseError> {
    context.check_interrupted()?;
    shared.with_queue(|queue| {
        finish_removals(&shared.dir, queue, &shared.settings.jobs)
            .map_err(|e| PhaseError::failed("end a removal of jobs that was cut short", e))?;
        let (mut reported, mut safe_point) = (0, Ok(()));
        let reattachment = reattach(&shared.dir, queue, &shared.settings.jobs, &mut |done, total| {
            context.total(total);
            context.advance(done.saturating_sub(reported));
            reported = done;
            safe_point = context.check_interrupted();
            safe_point.is_ok()
        })
        .map_err(|e| PhaseError::failed("judge the running jobs", e))?;
        sweep_groups(shared, queue)?;
        // The values are kept after an interruption, too: what was recorded stays.
        keep(context, &reattachment);
        safe_point?;
        let mut outcome = outcome(&reattachment, queue);
        outcome.findings.extend(exhausted(&reattachment, queue));
        if shared.settings.write_records {
            context.check_interrupted()?;
            rebuild_records(shared, context, queue, &mut outcome);
            outcome.findings.extend(check_ended(shared, queue)?);
        }
        Ok(outcome)
    })
}

/// Removes control groups that no attempt uses any more; they are found by their names.
fn sweep_groups(shared: &Shared, queue: &mut Queue) -> Result<(), PhaseError> {
    let mut refreshed = Ok(false);
    sweep(&shared.dir, || {
        refreshed = queue.refresh();
        // When the queue cannot be followed now, the last known claims still protect their groups.
        let of_running = queue.state().running().filter_map(|job| job.run_state().claim);
        of_running.collect()
    });
    refreshed.map(drop).map_err(|e| PhaseError::failed("read the queue", e))
}

/// Keeps the data for the reports about this recovery and about all of them.
fn keep(context: &PhaseContext, found: &Reattachment) {
    context.detail("jobs", serde_json::to_value(found).unwrap_or_default());
    let reconciled: Vec<ReconciledJob> = found.jobs.iter().map(ReconciledJob::of).collect();
    context.detail("jobs_settled", serde_json::to_value(reconciled).unwrap_or_default());
    let totals = [
        ("jobs.found", found.found),
        ("jobs.reattached", found.reattached),
        ("jobs.finished_while_away", found.finished_while_away),
        ("jobs.crashed", found.crashed),
        ("jobs.unknown", found.unknown),
    ];
    totals.into_iter().for_each(|(name, n)| context.count(name, n));
}

fn outcome(found: &Reattachment, queue: &Queue) -> PhaseOutcome {
    let mut outcome = PhaseOutcome::with_message(format!(
        "{} running: {} re-attached, {} had ended, {} crashed, {} had not started, {} unknown",
        found.found,
        found.reattached,
        found.finished_while_away,
        found.crashed,
        found.given_back + found.not_started,
        found.unknown
    ));
    for job in &found.jobs {
        outcome.findings.extend(of_interruption(job, queue).or_else(|| of_reconciliation(job)));
        outcome.findings.extend(of_evidence(&job.judgement));
        if let Reconciliation::Unknown { why } = &job.reconciliation {
            outcome.degraded.push(DegradedResource { object: object(job), why: why.clone() });
        }
    }
    outcome
}

fn object(job: &Reconciled) -> Object {
    Object::job(&job.job_id)
}

/// Returns the finding for a crash whose cause is known.
fn of_interruption(reconciled: &Reconciled, queue: &Queue) -> Option<Finding> {
    let Reconciliation::Crashed { then } = reconciled.reconciliation else { return None };
    let run = queue.state().get(&reconciled.job_id)?.run_state();
    let by = run.ended_by.as_ref().filter(|_| run.reason.as_deref() == Some(INTERRUPTED))?;
    let sentence = format!("attempt {} was interrupted by {}; {}", reconciled.attempt, by.by, next(then));
    let finding = Finding::new(&catalogue::JOB_INTERRUPTED, object(reconciled), sentence);
    Some(with_way(finding, then, &reconciled.job_id))
}

/// Adds the way to resume a job: only a job that stays crashed can be resumed.
fn with_way(finding: Finding, then: AfterCrash, job: &JobId) -> Finding {
    match then {
        AfterCrash::Hold => finding,
        AfterCrash::Requeue { .. } | AfterCrash::Fail => {
            finding.with_next(format!("recoveryctl jobs show {}", shell_word(&job.to_string())))
        }
    }
}

fn of_reconciliation(job: &Reconciled) -> Option<Finding> {
    let attempt = job.attempt;
    let (entry, sentence) = match &job.reconciliation {
        Reconciliation::FinishedWhileAway { exit_code: Some(code), .. } => (
            &catalogue::JOB_FINISHED_WHILE_AWAY,
            format!("attempt {attempt} had ended with exit status {code}"),
        ),
        Reconciliation::FinishedWhileAway { signal, .. } => {
            let how =
                signal.map_or_else(|| "without an exit status".to_owned(), |s| format!("by signal {s}"));
            (&catalogue::JOB_FINISHED_WHILE_AWAY, format!("attempt {attempt} had ended {how}"))
        }
        Reconciliation::Crashed { then } => (
            &catalogue::JOB_CRASHED,
            format!("attempt {attempt} vanished without an exit record; {}", next(*then)),
        ),
        Reconciliation::NotStarted => (
            &catalogue::JOB_NOT_STARTED,
            "no supervisor came up for it, as often as that was tried".to_owned(),
        ),
        Reconciliation::Unknown { .. } => return None, // Reported with the judgement.
        Reconciliation::Reattached | Reconciliation::GivenBack | Reconciliation::Overtaken => return None,
    };
    let finding = Finding::new(entry, object(job), sentence);
    Some(match job.reconciliation {
        Reconciliation::Crashed { then } => with_way(finding, then, &job.job_id),
        _ => finding,
    })
}

fn next(then: AfterCrash) -> String {
    match then {
        AfterCrash::Hold => "it stays crashed until it is resumed".to_owned(),
        AfterCrash::Requeue { not_before } => format!("its next attempt is queued, not before {not_before}"),
        AfterCrash::Fail => "it counts as failed".to_owned(),
    }
}

fn of_evidence(judgement: &Judgement) -> Vec<Finding> {
    let object = Object::job(&judgement.job_id);
    let damaged = judgement.damaged.iter().map(|file| {
        let sentence = format!("{file} of its attempt cannot be understood; a copy is in quarantine");
        Finding::new(&catalogue::SENTINEL_DAMAGED, object.clone(), sentence)
    });
    damaged.chain(of_judgement(judgement)).collect()
}

/// Returns findings for jobs that would have been tried again, had they not used up their attempts.
fn exhausted(found: &Reattachment, queue: &Queue) -> Vec<Finding> {
    let crashed = found
        .jobs
        .iter()
        .filter(|j| matches!(j.reconciliation, Reconciliation::Crashed { then: AfterCrash::Hold }));
    crashed
        .filter_map(|reconciled| {
            let job = queue.state().get(&reconciled.job_id).filter(|j| j.status == JobStatus::Crashed)?;
            let spec = job.spec().ok()?;
            (spec.on_crash == crate::queue::CrashPolicy::Requeue).then(|| {
                let sentence = format!("it crashed in the last of its {} attempts", spec.max_attempts);
                Finding::new(&catalogue::JOB_ATTEMPTS_EXHAUSTED, object(reconciled), sentence)
            })
        })
        .collect()
}
