//! Cancelling: the cancel is recorded first, then the process that can end the job is told.

use rustix::process::Signal;

use super::reconcile::{Reconciliation, RecoverError, RecoverSettings, reconcile};
use super::unsupervised::{UnsupervisedEnd, end_unsupervised};
use crate::jobs::evidence::judge;
use crate::jobs::judgement::{JudgeContext, Judgement};
use crate::jobs::process_table::ProcessTable;
use crate::jobs::verdict::Verdict;
use crate::queue::{Job, JobId, JobStatus, Operation, Queue};
use crate::state::StateDir;
use crate::system::{Host, parallel_map, signal_process};

/// The result of a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    /// The job waited, and is over now.
    Cancelled,
    /// The job runs; its supervisor was told to end it.
    EndRequested {
        /// The supervisor.
        supervisor: u32,
    },
    /// The job ran without a supervisor; its processes were ended, and its end is recorded.
    Ended,
    /// The job was over already, and its end is recorded now.
    WasOver,
    /// The cancel is recorded, but no process could be told.
    Recorded { why: String },
    /// Nothing was done.
    Refused {
        /// `no-such-job` or `job-is-over`.
        code: &'static str,
        detail: String,
    },
}

/// A job and the result of its cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    pub job_id: JobId,
    /// What was done.
    pub outcome: CancelOutcome,
}

/// Cancels jobs: queued ones are over at once, running ones are ended.
pub fn cancel(
    dir: &StateDir,
    queue: &mut Queue,
    ids: &[JobId],
    settings: &RecoverSettings,
) -> Result<Vec<Cancellation>, RecoverError> {
    let (_, wishes) = queue.transact(&settings.actor, |state| {
        let mut operations = Vec::new();
        let mut wish = |id: &JobId| {
            let Some(job) = state.get(id) else { return Err(refusal("no-such-job", "there is no such job")) };
            if job.status.is_over() {
                return Err(refusal("job-is-over", &format!("it {}", job.status.said())));
            }
            operations.push(Operation::Cancel { job: id.clone() });
            Ok(job.clone())
        };
        let wishes: Vec<Result<Job, CancelOutcome>> = ids.iter().map(&mut wish).collect();
        (operations, wishes)
    })?;
    let mut cancellations = Vec::with_capacity(ids.len());
    for (id, wish) in ids.iter().zip(wishes) {
        let outcome = match wish {
            Err(refused) => refused,
            Ok(job) if job.status == JobStatus::Queued => CancelOutcome::Cancelled,
            Ok(job) => end_running(dir, queue, &job, settings)?,
        };
        cancellations.push(Cancellation { job_id: id.clone(), outcome });
    }
    Ok(cancellations)
}

fn refusal(code: &'static str, detail: &str) -> CancelOutcome {
    CancelOutcome::Refused { code, detail: detail.to_owned() }
}

fn end_running(
    dir: &StateDir,
    queue: &mut Queue,
    job: &Job,
    settings: &RecoverSettings,
) -> Result<CancelOutcome, RecoverError> {
    let recorded = |why: &str| Ok(CancelOutcome::Recorded { why: why.to_owned() });
    let (host, table) = (Host::this(), ProcessTable::new());
    let look = JudgeContext { dir, host: &host, table: &table, limits: settings.limits };
    let judgement = judge(&look, job);
    match &judgement.verdict {
        Verdict::Supervised | Verdict::Stalled => tell_supervisor(&judgement),
        // A supervisor that has not written its sentinel yet reads the log once more after it has.
        Verdict::Unidentified => recorded("its supervisor has not named itself yet"),
        Verdict::Unknown { why } => recorded(why),
        Verdict::OtherIncarnation { .. } => {
            recorded("what runs was started by another incarnation of this state directory")
        }
        Verdict::Adopted { .. } | Verdict::OrphanedProcess { .. } => {
            if end_unsupervised(dir, queue, job, UnsupervisedEnd::Cancelled, settings)? {
                return Ok(CancelOutcome::Ended);
            }
            recorded("not all of its processes could be ended")
        }
        _ => {
            let reconciled =
                reconcile(dir, queue, std::slice::from_ref(&job.id), settings, &mut |_, _| true)?;
            match reconciled.first().map(|s| &s.reconciliation) {
                Some(Reconciliation::Reattached) => recorded("it is being started"),
                Some(Reconciliation::Unknown { why }) => recorded(why),
                _ => Ok(CancelOutcome::WasOver),
            }
        }
    }
}

/// Reminds a running job's supervisor of its cancel; true when the job has no supervisor, and the caller must end
/// it.
pub(crate) fn remind(look: &JudgeContext<'_>, job: &Job) -> bool {
    let judgement = judge(look, job);
    match &judgement.verdict {
        Verdict::Adopted { .. } | Verdict::OrphanedProcess { .. } => return true,
        // The next call sees the result.
        Verdict::Supervised | Verdict::Stalled => drop(tell_supervisor(&judgement)),
        _ => {}
    }
    false
}

/// Carries out recorded cancels of running jobs: reminds their supervisors, and ends jobs that have none.
pub(super) fn carry_out(dir: &StateDir, jobs: &[Job], settings: &RecoverSettings) {
    if jobs.is_empty() {
        return;
    }
    let (host, table) = (Host::this(), ProcessTable::new());
    let look = JudgeContext { dir, host: &host, table: &table, limits: settings.limits };
    let alone: Vec<&Job> = jobs.iter().filter(|job| remind(&look, job)).collect();
    parallel_map(alone, |job| {
        // If the job could not be ended, or its end not recorded, the cancel stays due.
        if let Ok(mut queue) = Queue::open(dir) {
            let _ = end_unsupervised(dir, &mut queue, job, UnsupervisedEnd::Cancelled, settings);
        }
    });
}

fn tell_supervisor(judgement: &Judgement) -> Result<CancelOutcome, RecoverError> {
    let supervisor = judgement.sentinel.whole().map(|s| s.supervisor);
    let why = match supervisor.map(|s| (s, signal_process(s, Signal::TERM))) {
        Some((supervisor, Ok(true))) => {
            // A stopped process handles a signal only once it continues.
            let _ = signal_process(supervisor, Signal::CONT);
            return Ok(CancelOutcome::EndRequested { supervisor: supervisor.pid });
        }
        Some((_, Ok(false))) => "its supervisor has just left".to_owned(),
        Some((supervisor, Err(e))) => format!("supervisor {} cannot be signalled: {e}", supervisor.pid),
        None => "its supervisor is not named".to_owned(),
    };
    Ok(CancelOutcome::Recorded { why })
}
