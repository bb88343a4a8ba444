//! The ends of a job, from which events are derived.

use super::job::{EndedAttempt, Job, JobStatus, Transition};
use crate::state::Timestamp;

/// Why a job is queued again at the moment of its crash.
pub(super) const REQUEUED: &str = "requeued after a crash";

/// A moment at which a job was over, for good or until it was resumed. It is a function of the log alone: the
/// result is the same whenever and by whichever process it is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobEnd {
    /// In which attempt.
    pub attempt: u32,
    pub status: JobStatus,
    pub at: Timestamp,
    /// When the attempt was begun; `None` for a job that never got as far.
    pub started_at: Option<Timestamp>,
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// More about it.
    pub reason: Option<String>,
}

impl Job {
    /// All ends of the job, in order. A crash after which the job was requeued at once is not one.
    pub(crate) fn ends(&self) -> Vec<JobEnd> {
        let history = &self.run_state().history;
        let goes_on = |next: Option<&Transition>| {
            next.is_some_and(|t| t.by.is_none() && t.reason.as_deref() == Some(REQUEUED))
        };
        let over = history.iter().enumerate().filter(|(i, t)| {
            t.status.is_over() && !(t.status == JobStatus::Crashed && goes_on(history.get(i + 1)))
        });
        over.map(|(_, t)| self.end_of(t)).collect()
    }

    fn end_of(&self, t: &Transition) -> JobEnd {
        let is_its = |a: &&EndedAttempt| (a.attempt, a.status, a.finished_at) == (t.attempt, t.status, t.at);
        let attempt = self.run_state().attempts.iter().find(is_its);
        JobEnd {
            attempt: t.attempt,
            status: t.status,
            at: t.at,
            started_at: attempt.and_then(|a| a.started_at),
            exit_code: attempt.and_then(|a| a.exit_code),
            signal: attempt.and_then(|a| a.signal),
            reason: t.reason.clone().or_else(|| attempt.and_then(|a| a.reason.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::queue::{
        Actor, AfterCrash, AttemptOutcome, Claim, End, JobSpec, Operation, QueueState, Record, Submission,
    };
    use crate::state::Timestamp;

    fn apply(state: &mut QueueState, seq: u64, operation: Operation) {
        let at = Timestamp::from_millis(i64::try_from(seq).unwrap() * 1000);
        state.apply(seq, Record { at, actor: Actor::default(), operation }).unwrap();
    }

    #[test]
    fn ends_of_requeued_and_resumed_job() {
        let mut state = QueueState::default();
        let job: crate::queue::JobId = "a".parse().unwrap();
        let spec = JobSpec::default();
        apply(
            &mut state,
            1,
            Operation::Submit(Submission { job: job.clone(), priority: 0, repository: None, spec }),
        );
        assert_eq!(state.drain_changed(), None);
        let end = |attempt, claim, outcome, after_crash| {
            Operation::End(End {
                job: job.clone(),
                attempt,
                claim,
                outcome,
                exit_code: (outcome == AttemptOutcome::Exited).then_some(7),
                signal: None,
                ended_at: None,
                reason: None,
                after_crash,
                started_at: None,
                ended_by: None,
                by_itself: false,
                evidence: Vec::new(),
            })
        };
        apply(&mut state, 2, Operation::Claim { job: job.clone(), attempt: 1, host: None });
        let again = AfterCrash::Requeue { not_before: Timestamp::default() };
        apply(&mut state, 3, end(1, Claim::of_record(2), AttemptOutcome::Crashed, Some(again)));
        assert!(state.get(&job).unwrap().ends().is_empty());
        apply(&mut state, 4, Operation::Claim { job: job.clone(), attempt: 2, host: None });
        apply(&mut state, 5, end(2, Claim::of_record(4), AttemptOutcome::Crashed, Some(AfterCrash::Hold)));
        let first = state.get(&job).unwrap().ends();
        apply(&mut state, 6, Operation::Resume { job: job.clone(), fresh: false, attempt: Some(3) });
        apply(&mut state, 7, Operation::Claim { job: job.clone(), attempt: 3, host: None });
        apply(&mut state, 8, end(3, Claim::of_record(7), AttemptOutcome::Exited, None));
        let ends = state.get(&job).unwrap().ends();
        assert_eq!(ends[..1], first, "a later resume changes nothing about an end");
        assert_eq!(ends.len(), 2);
        assert_eq!((ends[1].attempt, ends[1].exit_code), (3, Some(7)));
        assert!(state.drain_changed().unwrap().contains(&job));
        assert_eq!(state.drain_changed(), Some(Vec::new()));
    }
}
