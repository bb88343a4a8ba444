//! What follows a crash, by the job's own policy.

use crate::queue::{AfterCrash, CrashPolicy, DEFAULT_MAX_ATTEMPTS, End, Job, Operation, Outcome};
use crate::state::Timestamp;

const FIRST_PAUSE_MS: i64 = 10_000;
/// The longest pause before a requeued attempt, in milliseconds.
pub const LONGEST_REQUEUE_PAUSE_MS: i64 = 600_000;

/// The pause before the next attempt, in milliseconds: none after the first attempt, for most crashes
/// are the server's, not the job's; then 10 s, doubled with each, at most 10 min.
#[must_use]
pub fn requeue_pause_ms(attempt: u32) -> i64 {
    match attempt {
        0 | 1 => 0,
        n => FIRST_PAUSE_MS.saturating_mul(1 << (n - 2).min(16)).min(LONGEST_REQUEUE_PAUSE_MS),
    }
}

/// What follows the crash of a job's present attempt. A spec that cannot be understood is held: it
/// was written by a later version.
#[must_use]
pub fn after_crash(job: &Job, now: Timestamp) -> AfterCrash {
    let Ok(spec) = job.spec() else { return AfterCrash::Hold };
    let most = if spec.max_attempts == 0 { DEFAULT_MAX_ATTEMPTS } else { spec.max_attempts };
    match spec.on_crash {
        CrashPolicy::Fail => AfterCrash::Fail,
        CrashPolicy::Requeue if job.attempt < most => {
            AfterCrash::Requeue { not_before: now.plus_millis(requeue_pause_ms(job.attempt)) }
        }
        CrashPolicy::Requeue | CrashPolicy::Hold => AfterCrash::Hold,
    }
}

const FIRST_START_PAUSE_MS: i64 = 1_000;
/// The longest pause before a supervisor is started again that could not come up, in milliseconds.
const LONGEST_START_PAUSE_MS: i64 = 300_000;

/// The pause before the next start, in milliseconds, after so many failed ones in a row. None after the
/// first: most often it was not the supervisor that failed, but a server that crashed between the claim
/// and the start. Then 1 s, doubled with each, at most 5 min.
#[must_use]
pub(super) fn start_pause_ms(failed: u32) -> i64 {
    match failed {
        0 | 1 => 0,
        n => FIRST_START_PAUSE_MS.saturating_mul(1 << (n - 2).min(16)).min(LONGEST_START_PAUSE_MS),
    }
}

/// What is recorded about a claim whose supervisor could not come up: it is given back, to be tried again
/// later; after `most` times in a row the job is crashed, and waits for an operator.
pub(crate) fn after_failed_start(job: &Job, why: &str, now: Timestamp, most: u32) -> Operation {
    let claim = job.course().claim.unwrap_or(0);
    let failed = job.course().failed_starts + 1;
    if failed < most {
        let pause = start_pause_ms(failed);
        let not_before = (pause > 0).then(|| now.plus_millis(pause));
        let reason = why.to_owned();
        return Operation::Unclaim { job: job.id.clone(), claim, reason, not_before, failed_start: true };
    }
    Operation::End(End {
        job: job.id.clone(),
        attempt: job.attempt,
        claim,
        outcome: Outcome::NotStarted,
        exit_code: None,
        signal: None,
        ended_at: None,
        reason: Some(format!("it could not be started, {failed} times in a row: {why}")),
        after_crash: Some(AfterCrash::Hold),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::samples;
    use crate::queue::JobSpec;

    fn crashed(on_crash: CrashPolicy, max_attempts: u32, attempt: u32) -> AfterCrash {
        let spec = JobSpec { on_crash, max_attempts, ..JobSpec::default() };
        let job = Job { attempt, ..samples::queued("a", &spec) };
        after_crash(&job, Timestamp::from_millis(0))
    }

    #[test]
    fn requeued_only_while_attempts_are_left() {
        let at = |ms| AfterCrash::Requeue { not_before: Timestamp::from_millis(ms) };
        assert_eq!(crashed(CrashPolicy::Requeue, 3, 1), at(0));
        assert_eq!(crashed(CrashPolicy::Requeue, 3, 2), at(10_000));
        assert_eq!(crashed(CrashPolicy::Requeue, 3, 3), AfterCrash::Hold);
        assert_eq!(crashed(CrashPolicy::Requeue, 1, 1), AfterCrash::Hold);
        assert_eq!(crashed(CrashPolicy::Requeue, 0, DEFAULT_MAX_ATTEMPTS), AfterCrash::Hold);
        assert_eq!(crashed(CrashPolicy::Hold, 3, 1), AfterCrash::Hold);
        assert_eq!(crashed(CrashPolicy::Fail, 3, 1), AfterCrash::Fail);
    }

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses: Vec<i64> = (1..=9).map(requeue_pause_ms).collect();
        assert_eq!(pauses, [0, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 600_000, 600_000]);
        assert_eq!(requeue_pause_ms(u32::MAX), LONGEST_REQUEUE_PAUSE_MS);
    }

    #[test]
    fn starts_are_tried_again_ever_later_and_not_for_ever() {
        let pauses: Vec<i64> = (1..=12).map(start_pause_ms).collect();
        let seconds = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300];
        assert_eq!(pauses, seconds.map(|s| s * 1_000));
        assert_eq!(start_pause_ms(u32::MAX), LONGEST_START_PAUSE_MS);
        let mut job = samples::job("a", 7);
        let at = Timestamp::from_millis(5);
        let tried = |job: &Job| after_failed_start(job, "why", at, 3);
        assert!(matches!(tried(&job), Operation::Unclaim { not_before: None, failed_start: true, .. }));
        job.course_mut().failed_starts = 1;
        assert!(
            matches!(tried(&job), Operation::Unclaim { not_before: Some(t), .. } if t == at.plus_millis(1_000))
        );
        job.course_mut().failed_starts = 2;
        let Operation::End(end) = tried(&job) else { panic!("it goes on for ever") };
        assert_eq!((end.outcome, end.claim), (Outcome::NotStarted, 7));
    }
}
