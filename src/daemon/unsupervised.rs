//! Unsupervised jobs: they are watched until they end, or ended, by policy.
//!
//! Only the dead supervisor enforced a job's time limit and its cancellation; now the daemon that adopts the
//! job does. A separate thread ends a job, because that takes as long as its grace period.

use std::collections::HashMap;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::durable::error_chain;
use crate::jobs::{Judgement, OnUnsupervised, RecoverSettings, UnsupervisedEnd, Verdict, end_unsupervised};
use crate::logging::{Repeats, events};
use crate::queue::{Job, JobId, Queue};
use crate::state::StateDir;
use crate::system::{ProcessIdentity, age_of};
use tracing::{info, warn};

/// The unsupervised jobs that are being ended.
#[derive(Debug)]
pub(super) struct Unsupervised {
    ending: HashMap<JobId, JoinHandle<()>>,
    trouble: Repeats,
}

impl Default for Unsupervised {
    fn default() -> Unsupervised {
        Unsupervised {
            ending: HashMap::new(),
            trouble: Repeats::new("no thread to end a job without its supervisor"),
        }
    }
}

impl Unsupervised {
    /// Ends the job if policy, time limit or a cancellation ask for that.
    pub(super) fn see_to(
        &mut self,
        dir: &StateDir,
        job: &Job,
        left: Option<Duration>,
        settings: &RecoverSettings,
    ) {
        self.ending.retain(|_, thread| !thread.is_finished());
        let Some(why) = reason_to_end(job, left, settings) else { return };
        if self.ending.contains_key(&job.id) {
            return;
        }
        let (dir, own, settings) = (dir.clone(), job.clone(), settings.clone());
        let thread = std::thread::Builder::new().name("end-orphan".to_owned()).spawn(move || {
            // If the job could not be ended, or its end not recorded, the next look tries again.
            let ended = Queue::open(&dir).map_err(|e| error_chain(&e)).and_then(|mut queue| {
                end_unsupervised(&dir, &mut queue, &own, why, &settings).map_err(|e| error_chain(&e))
            });
            if let Err(e) = ended {
                warn!(event = events::TROUBLE, job_id = %own.id, "job {}, without its supervisor, cannot be ended: {e}", own.id);
            }
        });
        if let Some(thread) = self.trouble.note(thread) {
            info!(event = events::JOB_CANCELLED, job_id = %job.id, "job {}, without its supervisor, is being ended: {}", job.id, said(why));
            self.ending.insert(job.id.clone(), thread);
        }
    }
}

fn said(why: UnsupervisedEnd) -> &'static str {
    match why {
        UnsupervisedEnd::Cancelled => "it was cancelled",
        UnsupervisedEnd::TimedOut => "its time is over",
        UnsupervisedEnd::Policy => "jobs.on_orphan is \"end\"",
    }
}

fn reason_to_end(job: &Job, left: Option<Duration>, settings: &RecoverSettings) -> Option<UnsupervisedEnd> {
    match () {
        () if job.run_state().cancel_requested => Some(UnsupervisedEnd::Cancelled),
        () if left.is_some_and(|left| left.is_zero()) => Some(UnsupervisedEnd::TimedOut),
        () if settings.on_orphan == OnUnsupervised::End => Some(UnsupervisedEnd::Policy),
        () => None,
    }
}

/// Returns the rest of an unsupervised job's time limit; `None` when it has none.
pub(super) fn time_left(job: &Job, judgement: &Judgement) -> Option<Duration> {
    let Verdict::OrphanedProcess { processes } = &judgement.verdict else { return None };
    left_of_limit(job, judgement, processes)
}

/// Returns the rest of a job's time limit, for any process that enforces it. It counts by the clock of this
/// boot from the start of the job's command, or else its supervisor, or the oldest of its processes: dates
/// are wrong when the clock was set.
pub(super) fn left_of_limit(
    job: &Job,
    judgement: &Judgement,
    processes: &[ProcessIdentity],
) -> Option<Duration> {
    let limit = Duration::from_millis(job.spec().ok()?.timeout_ms?);
    let supervisor = judgement.sentinel.whole().map(|sentinel| sentinel.supervisor);
    let oldest = processes.iter().copied().min_by_key(|process| process.start_time);
    let begun = judgement.command.or(supervisor).or(oldest)?;
    Some(limit.saturating_sub(age_of(begun)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::samples;
    use crate::queue::JobSpec;

    fn judged(job: &Job, command: Option<ProcessIdentity>) -> Judgement {
        let verdict = Verdict::OrphanedProcess { processes: vec![ProcessIdentity::this()] };
        Judgement { command, ..crate::jobs::blank(job, verdict) }
    }

    #[test]
    fn time_limit_ignores_dates() {
        let spec = JobSpec { timeout_ms: Some(7_200_000), ..JobSpec::default() };
        let mut job = samples::queued("a", &spec);
        for days in [-400, 0, 400] {
            let claimed = crate::state::Clock::system().now().plus_millis(days * 24 * 60 * 60 * 1000);
            job.run_state_mut().started_at = Some(claimed);
            for command in [Some(ProcessIdentity::this()), None] {
                let left = time_left(&job, &judged(&job, command)).unwrap();
                let used = Duration::from_secs(7_200) - left;
                assert!(used < Duration::from_secs(3_600) && !left.is_zero(), "{days}: {left:?}");
            }
        }
        let began_with_the_machine = ProcessIdentity { pid: 1, start_time: 0 };
        let spec = JobSpec { timeout_ms: Some(1), ..JobSpec::default() };
        let job = samples::queued("b", &spec);
        assert_eq!(time_left(&job, &judged(&job, Some(began_with_the_machine))), Some(Duration::ZERO));
        let unlimited = samples::queued("c", &JobSpec::default());
        assert_eq!(time_left(&unlimited, &judged(&unlimited, None)), None);
    }
}
