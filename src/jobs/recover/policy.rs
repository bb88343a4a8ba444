//! The consequence of a crash, by the job's own policy.

use std::time::Duration;

use crate::queue::{
    AfterCrash, AttemptOutcome, CrashPolicy, DEFAULT_MAX_ATTEMPTS, End, Job, JobId, Operation,
};
use crate::state::Timestamp;

/// How long a crashed job rests before its next attempt.
///
/// After the first attempt it does not rest, because most crashes are the server's, not the job's. After the
/// second it rests for `first`, doubled with each further attempt, at most `longest`. Each pause is shortened by
/// up to a quarter, differently for each job, so that jobs that crashed together do not come back together. Each
/// pause is longer than the one before until `longest` is reached: three quarters of the double are more than the
/// whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequeuePauses {
    /// The pause after the second attempt.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for RequeuePauses {
    fn default() -> RequeuePauses {
        RequeuePauses { first: Duration::from_secs(10), longest: Duration::from_secs(600) }
    }
}

impl RequeuePauses {
    /// The pause after an attempt of a job that crashed, in milliseconds. The same job and attempt always give
    /// the same pause.
    pub(crate) fn after(&self, job: &JobId, attempt: u32) -> i64 {
        let Some(doublings) = attempt.checked_sub(2) else { return 0 };
        let whole = self.first.saturating_mul(1 << doublings.min(24)).min(self.longest);
        let whole = i64::try_from(whole.as_millis()).unwrap_or(i64::MAX);
        whole - i64::try_from(i128::from(whole) * i128::from(spread(job, attempt)) / 1024).unwrap_or(0)
    }
}

/// A number from 0 to 255, evenly distributed over jobs and attempts.
fn spread(job: &JobId, attempt: u32) -> u8 {
    crc32fast::hash(format!("{job}/{attempt}").as_bytes()).to_le_bytes()[0]
}

/// What follows the crash of a job's present attempt. A job whose spec cannot be understood is held: a later
/// version wrote the spec.
pub(crate) fn after_crash(job: &Job, now: Timestamp, pauses: RequeuePauses) -> AfterCrash {
    let Ok(spec) = job.spec() else { return AfterCrash::Hold };
    match spec.on_crash {
        CrashPolicy::Fail => AfterCrash::Fail,
        CrashPolicy::Requeue if job.attempt < most_attempts(spec.max_attempts) => {
            AfterCrash::Requeue { not_before: now.plus_millis(pauses.after(&job.id, job.attempt)) }
        }
        CrashPolicy::Requeue | CrashPolicy::Hold => AfterCrash::Hold,
    }
}

fn most_attempts(of_spec: u32) -> u32 {
    if of_spec == 0 { DEFAULT_MAX_ATTEMPTS } else { of_spec }
}

const FIRST_START_PAUSE_MS: i64 = 1_000;
/// The longest pause before another supervisor is started after a failed start, in milliseconds.
const LONGEST_START_PAUSE_MS: i64 = 300_000;

/// The pause before the next start, in milliseconds, after so many failed starts in a row. There is none after
/// the first: most often it was not the supervisor that failed, but a server that crashed between the claim and
/// the start. Then 1 s, doubled with each failed start, at most 5 min.
pub(super) fn start_pause_ms(failed: u32) -> i64 {
    match failed {
        0 | 1 => 0,
        n => FIRST_START_PAUSE_MS.saturating_mul(1 << (n - 2).min(16)).min(LONGEST_START_PAUSE_MS),
    }
}

/// The record for a claim whose supervisor could not be started: the claim is given back, to be tried again
/// later; after `most` failed starts in a row the job is crashed, and waits for an operator.
pub(crate) fn after_failed_start(job: &Job, why: &str, now: Timestamp, most: u32) -> Operation {
    let claim = job.run_state().claim.unwrap_or_default();
    let failed = job.run_state().failed_starts + 1;
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
        outcome: AttemptOutcome::NotStarted,
        exit_code: None,
        signal: None,
        ended_at: None,
        reason: Some(format!("it could not be started, {failed} times in a row: {why}")),
        after_crash: Some(AfterCrash::Hold),
        started_at: None,
        ended_by: None,
        by_itself: false,
        evidence: Vec::new(),
    })
}

/// The record for a claim that the host was too weak to start: it is given back and not counted. The scheduler
/// decides when to try again.
pub(crate) fn given_back_for_host(job: &Job, why: &str) -> Operation {
    let claim = job.run_state().claim.unwrap_or_default();
    let reason = why.to_owned();
    Operation::Unclaim { job: job.id.clone(), claim, reason, not_before: None, failed_start: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::samples;
    use crate::queue::Claim;
    use crate::queue::JobSpec;

    fn crashed(on_crash: CrashPolicy, max_attempts: u32, attempt: u32) -> AfterCrash {
        let spec = JobSpec { on_crash, max_attempts, ..JobSpec::default() };
        let job = Job { attempt, ..samples::queued("a", &spec) };
        after_crash(&job, Timestamp::from_millis(0), RequeuePauses::default())
    }

    #[test]
    fn after_crash_requeues_while_attempts_left() {
        let at = |ms| AfterCrash::Requeue { not_before: Timestamp::from_millis(ms) };
        assert_eq!(crashed(CrashPolicy::Requeue, 3, 1), at(0));
        let AfterCrash::Requeue { not_before } = crashed(CrashPolicy::Requeue, 3, 2) else { panic!() };
        assert!((7_500..=10_000).contains(&not_before.millis_since(Timestamp::from_millis(0))));
        assert_eq!(crashed(CrashPolicy::Requeue, 3, 3), AfterCrash::Hold);
        assert_eq!(crashed(CrashPolicy::Requeue, 1, 1), AfterCrash::Hold);
        assert_eq!(crashed(CrashPolicy::Requeue, 0, DEFAULT_MAX_ATTEMPTS), AfterCrash::Hold);
        assert_eq!(crashed(CrashPolicy::Hold, 3, 1), AfterCrash::Hold);
        assert_eq!(crashed(CrashPolicy::Fail, 3, 1), AfterCrash::Fail);
    }

    #[test]
    fn requeue_pauses_grow_bounded_with_jitter() {
        let pauses = RequeuePauses::default();
        let ids: Vec<JobId> = (0..100).map(|n| format!("job-{n}").parse().unwrap()).collect();
        for id in &ids {
            let found: Vec<i64> = (1..=9).map(|attempt| pauses.after(id, attempt)).collect();
            let whole = [0, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 600_000, 600_000];
            for (n, (pause, whole)) in found.iter().zip(whole).enumerate() {
                assert!((whole * 3 / 4..=whole).contains(pause), "{id} {n}: {pause}");
            }
            assert!(found.windows(2).take(6).all(|w| w[0] < w[1]), "{id}: {found:?}");
            assert!(pauses.after(id, u32::MAX) <= 600_000);
        }
        let different: std::collections::BTreeSet<i64> = ids.iter().map(|id| pauses.after(id, 2)).collect();
        assert!(different.len() > 50, "{} different pauses of 100 jobs", different.len());
    }

    #[test]
    fn requeue_pauses_as_configured() {
        let id = "a".parse().unwrap();
        let none = RequeuePauses { first: Duration::ZERO, longest: Duration::from_secs(600) };
        assert_eq!(none.after(&id, 7), 0);
        let short = RequeuePauses { first: Duration::from_millis(8), longest: Duration::from_millis(20) };
        assert!((6..=8).contains(&short.after(&id, 2)) && (15..=20).contains(&short.after(&id, 30)));
    }

    #[test]
    fn failed_starts_pause_grows_then_crash() {
        let pauses: Vec<i64> = (1..=12).map(start_pause_ms).collect();
        let seconds = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300];
        assert_eq!(pauses, seconds.map(|s| s * 1_000));
        assert_eq!(start_pause_ms(u32::MAX), LONGEST_START_PAUSE_MS);
        let mut job = samples::job("a", Claim::of_record(7));
        let at = Timestamp::from_millis(5);
        let tried = |job: &Job| after_failed_start(job, "why", at, 3);
        assert!(matches!(tried(&job), Operation::Unclaim { not_before: None, failed_start: true, .. }));
        job.run_state_mut().failed_starts = 1;
        assert!(
            matches!(tried(&job), Operation::Unclaim { not_before: Some(t), .. } if t == at.plus_millis(1_000))
        );
        job.run_state_mut().failed_starts = 2;
        let Operation::End(end) = tried(&job) else { panic!("it goes on for ever") };
        assert_eq!((end.outcome, end.claim), (AttemptOutcome::NotStarted, Claim::of_record(7)));
    }
}
