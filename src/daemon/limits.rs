//! Time limits that a supervisor does not enforce because it is stopped (SIGSTOP, a process group left
//! stopped in a terminal).
//!
//! A supervisor enforces its own job's limit. When that is exceeded by more than a moment and the job still
//! runs, the scheduler judges it, and continues a stopped supervisor: that ends its job and records the end
//! as if it had never been stopped. If a debugger holds it, this has no effect and is repeated with growing
//! pauses; the finding `job-stopped` reports it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::unsupervised::left_of_limit;
use crate::durable::Backoff;
use crate::jobs::{FreshnessLimits, JudgeContext, Judgement, ProcessTable, Verdict, judge};
use crate::logging::events;
use crate::queue::{Claim, Job, JobId, JobStatus, QueueState};
use crate::state::StateDir;
use crate::system::{Host, signal_process};
use tracing::{debug, info};

/// A supervisor that is not stopped ends its job within this time.
const MOMENT: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// The longest time until the next look: a limit may be longer than can be added to the present.
const A_DAY: Duration = Duration::from_secs(86_400);

/// The time limits of running jobs.
#[derive(Debug, Default)]
pub(super) struct Limits {
    jobs: HashMap<JobId, Limit>,
}

#[derive(Debug)]
struct Limit {
    claim: Option<Claim>,
    /// When to look next; `None` for a job without a limit.
    next: Option<Instant>,
    backoff: Backoff,
}

impl Limits {
    /// Judges jobs whose time is over, and continues stopped supervisors.
    pub(super) fn see_to(&mut self, dir: &StateDir, state: &QueueState, limits: FreshnessLimits) {
        self.jobs.retain(|id, limit| {
            let job = state.get(id).filter(|job| job.status == JobStatus::Running);
            job.is_some_and(|job| job.run_state().claim == limit.claim)
        });
        let now = Instant::now();
        let due: Vec<&Job> = state.running().filter(|job| self.is_due(job, now)).collect();
        if due.is_empty() {
            return;
        }
        let (host, table) = (Host::this(), ProcessTable::new());
        let look = JudgeContext { dir, host: &host, table: &table, limits };
        for job in due {
            let judgement = judge(&look, job);
            let left = left_of_limit(job, &judgement, &[]);
            if left.is_some_and(|left| left.is_zero()) {
                wake(&judgement);
            }
            if let Some(limit) = self.jobs.get_mut(&job.id) {
                let pause = limit.backoff.pause();
                let pause =
                    left.filter(|left| !left.is_zero()).map_or(pause, |left| (left + MOMENT).min(A_DAY));
                limit.next = Some(Instant::now() + pause);
            }
        }
    }

    /// Whether a look at a job is due. The job may have run for long before it is seen here, so the first
    /// look is early and finds out when the next one is due.
    fn is_due(&mut self, job: &Job, now: Instant) -> bool {
        if let Some(limit) = self.jobs.get(&job.id) {
            return limit.next.is_some_and(|next| next <= now);
        }
        let limit = job.spec().ok().and_then(|spec| spec.timeout_ms).map(Duration::from_millis);
        let next = limit.and_then(|limit| now.checked_add(limit.min(LONGEST) + MOMENT));
        let backoff = Backoff::new(MOMENT, LONGEST);
        self.jobs.insert(job.id.clone(), Limit { claim: job.run_state().claim, next, backoff });
        false
    }
}

/// Wakes a stopped supervisor. Only SIGCONT is sent: without a recorded cancel, SIGTERM would be an
/// interruption from outside.
fn wake(judgement: &Judgement) {
    let supervisor = judgement.sentinel.whole().map(|sentinel| sentinel.supervisor);
    if let (Verdict::Stalled, Some(supervisor)) = (&judgement.verdict, supervisor) {
        // If this fails, the supervisor has just ended, or `job-stopped` reports that it cannot be signalled.
        match signal_process(supervisor, Signal::CONT) {
            Ok(_) => info!(
                event = events::JOB_JUDGED,
                "the supervisor {} was stopped, and goes on", supervisor.pid
            ),
            Err(e) => debug!(
                event = events::TROUBLE,
                "the stopped supervisor {} gets no SIGCONT: {e}", supervisor.pid
            ),
        }
    }
}
