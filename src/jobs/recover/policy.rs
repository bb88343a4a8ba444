//! What follows a crash, by the job's own policy.

use crate::queue::{AfterCrash, CrashPolicy, DEFAULT_MAX_ATTEMPTS, Job};
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
}
