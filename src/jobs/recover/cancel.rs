//! Cancelling: recorded first, then whoever can end the job is told.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::settle::{RecoverError, RecoverSettings, Settlement, lock_job, settle};
use crate::jobs::evidence::{Judgement, Look, judge, judge_locked};
use crate::jobs::process_table::ProcessTable;
use crate::jobs::verdict::{Liveness, Verdict};
use crate::queue::{End, Job, JobId, JobStatus, Operation, Outcome, Queue};
use crate::state::StateDir;
use crate::system::{Host, Presence, ProcessIdentity, end_process, presence, signal_process};

/// How often the processes of a job are looked for anew while they are ended.
const ROUNDS: u32 = 5;

/// What came of a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It waited, and is over now.
    Cancelled,
    /// It runs; its supervisor was told to end it.
    EndRequested {
        /// The supervisor.
        supervisor: u32,
    },
    /// It ran without a supervisor; its processes were ended and that is recorded.
    Ended,
    /// It was over already, and that is recorded now.
    WasOver,
    /// The wish is recorded, but nobody could be told.
    Recorded {
        /// Why not.
        why: String,
    },
    /// Nothing was done.
    Refused {
        /// `no-such-job` or `job-is-over`.
        code: &'static str,
        /// In words.
        detail: String,
    },
}

/// A job and what came of its cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    /// Which job.
    pub job_id: JobId,
    /// What was done.
    pub outcome: CancelOutcome,
}

/// Cancels jobs: queued ones are over at once, running ones are ended.
///
/// # Errors
/// When the queue cannot be changed.
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
                return Err(refusal("job-is-over", &format!("it is {} already", job.status)));
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
    let look = Look { dir, host: &host, table: &table, limits: settings.limits };
    let judgement = judge(&look, job);
    match &judgement.verdict {
        Verdict::Supervised | Verdict::Stalled => tell_supervisor(&judgement),
        // One that has not written its sentinel yet looks into the log once more after it has.
        Verdict::Unidentified => recorded("its supervisor has not named itself yet"),
        Verdict::Unknown { why } => recorded(why),
        Verdict::Adopted { .. } | Verdict::OrphanedProcess { .. } => {
            if end_processes(dir, queue, job, settings)? {
                return Ok(CancelOutcome::Ended);
            }
            recorded("not all of its processes could be ended")
        }
        _ => {
            let settled = settle(dir, queue, std::slice::from_ref(&job.id), settings, &mut |_, _| {})?;
            match settled.first().map(|s| &s.settlement) {
                Some(Settlement::Reattached) => recorded("it is being started"),
                Some(Settlement::Unknown { why }) => recorded(why),
                _ => Ok(CancelOutcome::WasOver),
            }
        }
    }
}

fn tell_supervisor(judgement: &Judgement) -> Result<CancelOutcome, RecoverError> {
    let supervisor = judgement.sentinel.whole().map(|s| s.supervisor);
    let why = match supervisor.map(|s| (s, signal_process(s, Signal::TERM))) {
        Some((supervisor, Ok(true))) => {
            return Ok(CancelOutcome::EndRequested { supervisor: supervisor.pid });
        }
        Some((_, Ok(false))) => "its supervisor has just left".to_owned(),
        Some((supervisor, Err(e))) => format!("supervisor {} cannot be signalled: {e}", supervisor.pid),
        None => "its supervisor is not named".to_owned(),
    };
    Ok(CancelOutcome::Recorded { why })
}

/// Ends a job that nobody supervises, and records that; false when something of it may be left.
fn end_processes(
    dir: &StateDir,
    queue: &mut Queue,
    job: &Job,
    settings: &RecoverSettings,
) -> Result<bool, RecoverError> {
    let Ok(_lock) = lock_job(dir, &job.id) else { return Ok(false) };
    let host = Host::this();
    for _ in 0..ROUNDS {
        let table = ProcessTable::new();
        let look = Look { dir, host: &host, table: &table, limits: settings.limits };
        let judgement = judge_locked(&look, job);
        let processes = match &judgement.verdict {
            Verdict::OrphanedProcess { processes } => processes.clone(),
            Verdict::Adopted { process } => table.tree_of(*process),
            _ if judgement.liveness() == Liveness::Dead => {
                record_end(queue, job, &judgement.verdict, settings)?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        let trees: Vec<ProcessIdentity> = processes.iter().flat_map(|p| table.tree_of(*p)).collect();
        end_all(&trees, settings.kill_grace);
    }
    Ok(false)
}

/// SIGTERM to all, and SIGKILL to those that are left after the grace.
fn end_all(processes: &[ProcessIdentity], grace: Duration) {
    for process in processes {
        // One that may not be signalled is still there at the next look.
        let _ = signal_process(*process, Signal::TERM);
    }
    let begun = Instant::now();
    let lives = |p: &&ProcessIdentity| presence(**p) != Presence::Gone;
    while begun.elapsed() < grace && processes.iter().any(|p| lives(&p)) {
        std::thread::sleep(Duration::from_millis(10));
    }
    for process in processes.iter().filter(lives) {
        let _ = end_process(*process, 5_000);
    }
}

fn record_end(
    queue: &mut Queue,
    job: &Job,
    verdict: &Verdict,
    settings: &RecoverSettings,
) -> Result<(), RecoverError> {
    let claim = job.course().claim.unwrap_or(0);
    let end = match verdict {
        Verdict::Ended(exit) => End { claim, attempt: job.attempt, ..exit.to_end() },
        _ => End {
            job: job.id.clone(),
            attempt: job.attempt,
            claim,
            outcome: Outcome::Signaled,
            exit_code: None,
            signal: Some(Signal::TERM.as_raw()),
            ended_at: None,
            reason: Some("ended on request; it had no supervisor".to_owned()),
            after_crash: None,
        },
    };
    queue.transact(&settings.actor, |state| {
        let is_unchanged = state.get(&job.id).is_some_and(|now| now.course().claim == Some(claim));
        (is_unchanged.then_some(Operation::End(end)).into_iter().collect(), ())
    })?;
    Ok(())
}
