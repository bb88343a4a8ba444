//! Applies the end of an attempt to its job: a function of the job and the end's record alone.

use super::ends::REQUEUED;
use super::job::{EndedAttempt, Job, JobStatus, Transition};
use super::record::{AfterCrash, AttemptOutcome, End, INTERRUPTED};
use crate::state::Timestamp;

/// Why a job on which a cancel is recorded is not cancelled.
const TOO_LATE: &str = "it ended by itself before the cancel reached it";

impl Job {
    /// Records a change of the status.
    pub(super) fn turn(
        &mut self,
        status: JobStatus,
        at: Timestamp,
        reason: Option<String>,
        by: Option<String>,
    ) {
        self.status = status;
        let attempt = self.attempt;
        self.run_state_mut().history.push(Transition { at, status, attempt, reason, by });
    }

    /// Ends the present attempt; returns how it counts, and whether the next one was queued.
    pub(super) fn finish(&mut self, at: Timestamp, end: End) -> (JobStatus, bool) {
        let cancelled = self.run_state().cancel_requested;
        let status = status_of(&end, cancelled);
        let finished_at = end.ended_at.unwrap_or(at);
        // The job's reason says what the policy did; the attempt's reason says what happened.
        let by_policy = end.outcome == AttemptOutcome::Crashed && status == JobStatus::Failed;
        let is_interrupted = end.outcome == AttemptOutcome::Interrupted && status != JobStatus::Cancelled;
        let in_a_word = match () {
            () if is_interrupted => Some(INTERRUPTED.to_owned()),
            () if by_policy => Some("crashed".to_owned()),
            () => None,
        };
        let too_late = (cancelled && is_by_itself(&end)).then(|| TOO_LATE.to_owned());
        let reason = end.reason.or(too_late).or_else(|| in_a_word.clone());
        let run = self.run_state_mut();
        run.started_at = end.started_at.or(run.started_at);
        run.ended_by = match status {
            JobStatus::Cancelled => end.ended_by.or_else(|| run.cancel.clone()),
            _ => end.ended_by,
        };
        if end.outcome != AttemptOutcome::NotStarted {
            run.attempts.push(EndedAttempt {
                attempt: end.attempt,
                status,
                started_at: run.started_at,
                finished_at,
                exit_code: end.exit_code,
                signal: end.signal,
                reason: reason.clone(),
                ended_by: run.ended_by.clone(),
                evidence: end.evidence,
            });
        }
        (run.exit_code, run.signal) = (end.exit_code, end.signal);
        run.reason = in_a_word.or_else(|| reason.clone());
        run.finished_at = Some(finished_at);
        (run.claim, run.adopted, run.fresh) = (None, None, false);
        if end.outcome == AttemptOutcome::NotStarted {
            run.started_at = None;
            run.failed_starts += 1;
        } else {
            run.failed_starts = 0;
        }
        let by = self.run_state().ended_by.as_ref().map(|ended| ended.by.clone());
        self.turn(status, finished_at, reason, by);
        let Some(AfterCrash::Requeue { not_before }) =
            end.after_crash.filter(|_| status == JobStatus::Crashed)
        else {
            return (status, false);
        };
        self.attempt += 1;
        self.not_before = Some(not_before);
        self.run_state_mut().finished_at = None;
        self.turn(JobStatus::Queued, at, Some(REQUEUED.to_owned()), None);
        (status, true)
    }
}

/// Whether the command is known to have ended by itself.
fn is_by_itself(end: &End) -> bool {
    end.by_itself && matches!(end.outcome, AttemptOutcome::Exited | AttemptOutcome::Signaled)
}

fn status_of(end: &End, cancelled: bool) -> JobStatus {
    match (end.outcome, end.after_crash) {
        _ if cancelled && !is_by_itself(end) => JobStatus::Cancelled,
        (AttemptOutcome::Exited, _) if end.exit_code == Some(0) => JobStatus::Succeeded,
        (AttemptOutcome::Exited | AttemptOutcome::Signaled, _)
        | (AttemptOutcome::Crashed | AttemptOutcome::Interrupted, Some(AfterCrash::Fail)) => {
            JobStatus::Failed
        }
        (AttemptOutcome::TimedOut, _) => JobStatus::TimedOut,
        (AttemptOutcome::Crashed | AttemptOutcome::NotStarted | AttemptOutcome::Interrupted, _) => {
            JobStatus::Crashed
        }
    }
}
