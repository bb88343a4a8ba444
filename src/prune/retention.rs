//! The rules by which jobs are old enough to be removed.

use crate::queue::{Job, JobId, JobStatus, QueueState};
use crate::state::Timestamp;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The rules for which jobs are kept. A job that one of the rules keeps stays; without a rule, all stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobRetention {
    /// Keeps jobs that ended within this many days.
    pub keep_days: Option<u32>,
    /// Keeps this many of the jobs that ended last.
    pub keep_last: Option<u64>,
    /// Whether crashed jobs, which wait to be resumed, may be removed too.
    pub crashed: bool,
}

impl JobRetention {
    /// Returns the jobs that no rule keeps, in the order in which they ended.
    pub(crate) fn outlived(&self, state: &QueueState, now: Timestamp) -> Vec<JobId> {
        if self.keep_days.is_none() && self.keep_last.is_none() {
            return Vec::new();
        }
        let over = state.jobs().filter(|job| job.status.is_over());
        let mut over: Vec<(Timestamp, &Job)> = over.map(|job| (ended_at(job), job)).collect();
        over.sort_by_key(|(ended, job)| (*ended, job.place));
        let last = usize::try_from(self.keep_last.unwrap_or(0)).unwrap_or(usize::MAX);
        let beyond = over.len().saturating_sub(last);
        let is_old = |ended: Timestamp| {
            let days = i64::from(self.keep_days.unwrap_or(0));
            now.millis_since(ended) >= days * DAY_MS
        };
        over[..beyond].iter().filter(|(ended, _)| is_old(*ended)).map(|(_, job)| job.id.clone()).collect()
    }

    /// Checks that the rules allow the removal of a job, by its status; an error with the reason otherwise.
    pub(super) fn allows(&self, job: &Job) -> Result<(), &'static str> {
        match job.status {
            JobStatus::Crashed if !self.crashed => Err("it crashed and can be resumed"),
            status if status.is_over() => Ok(()),
            _ => Err("it is not over any more"),
        }
    }
}

pub(super) fn ended_at(job: &Job) -> Timestamp {
    let run = job.run_state();
    run.finished_at.or_else(|| Some(run.history.last()?.at)).unwrap_or(job.submitted_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::samples;
    use crate::queue::JobSpec;

    fn state(ended_days_ago: &[i64], now: Timestamp) -> QueueState {
        let mut state = QueueState::default();
        for (n, days) in ended_days_ago.iter().enumerate() {
            let mut job = samples::queued(&format!("j{n}"), &JobSpec::default());
            job.status = JobStatus::Succeeded;
            job.run_state_mut().finished_at = Some(now.plus_millis(-days * DAY_MS));
            state.load(job.to_document());
        }
        state.load(samples::queued("waits", &JobSpec::default()).to_document());
        state
    }

    #[test]
    fn retention_any_rule_keeps() {
        let now = Timestamp::from_millis(1_900_000_000_000);
        let state = state(&[9, 1, 30, 7, 0], now);
        let gone = |keep_days, keep_last| -> Vec<String> {
            let retention = JobRetention { keep_days, keep_last, crashed: false };
            retention.outlived(&state, now).iter().map(ToString::to_string).collect()
        };
        assert_eq!(gone(None, None), Vec::<String>::new());
        assert_eq!(gone(Some(7), None), ["j2", "j0", "j3"], "seven days are over after seven days");
        assert_eq!(gone(Some(8), None), ["j2", "j0"]);
        assert_eq!(gone(Some(0), None).len(), 5);
        assert_eq!(gone(None, Some(2)), ["j2", "j0", "j3"]);
        assert_eq!(gone(None, Some(9)), Vec::<String>::new());
        assert_eq!(gone(None, Some(0)).len(), 5);
        assert_eq!(gone(Some(8), Some(4)), ["j2"]);
        assert_eq!(gone(Some(36_500), Some(0)), Vec::<String>::new());
    }

    #[test]
    fn retention_end_in_future() {
        let now = Timestamp::from_millis(1_900_000_000_000);
        let retention = JobRetention { keep_days: Some(1), keep_last: None, crashed: false };
        assert!(retention.outlived(&state(&[-3], now), now).is_empty());
    }
}
