//! The circuit breaker of starts: a host that cannot start anything stops the scheduler, not the jobs.
//!
//! | what failed | who is blamed | what follows |
//! | --- | --- | --- |
//! | the supervisor's program, its log, a process for it; failures that the supervisor reports as the host's | the host | the circuit opens |
//! | a supervisor that left without a beginning, of one job as often as it is tried | the job | its failed starts are counted |
//! | the same of a second, different job in a row | the host | the circuit opens |
//!
//! While the circuit is open no job is claimed. After a growing pause one start is tried, of another job than
//! those that failed if there is one; when it succeeds, the circuit closes. A start that fails for the host's
//! reasons is not counted against its job.

use std::time::{Duration, Instant};

use crate::durable::Backoff;
use crate::queue::JobId;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two tries while the circuit is open.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// When this many different jobs in a row fail to start, the host is blamed.
const IN_A_ROW: usize = 2;

/// How many starts may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowance {
    /// As many as there are workers.
    All,
    /// One, to test whether the cause is gone.
    One,
    /// None before the pause is over.
    None,
}

#[derive(Debug, Default)]
pub(super) struct Circuit {
    /// The different jobs that failed to start in a row.
    failed: Vec<JobId>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    next: Instant,
    backoff: Backoff,
}

impl Circuit {
    pub(super) fn allows(&self, now: Instant) -> Allowance {
        match &self.open {
            None => Allowance::All,
            Some(open) if now >= open.next => Allowance::One,
            Some(_) => Allowance::None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether nothing has failed since the last successful start.
    pub(super) fn is_clear(&self) -> bool {
        self.open.is_none() && self.failed.is_empty()
    }

    /// Whether this job's start has failed since the last successful start.
    pub(super) fn has_failed(&self, job: &JobId) -> bool {
        self.failed.contains(job)
    }

    /// Whether a start of this job that fails now is the host's fault.
    pub(super) fn blames_host(&self, job: &JobId) -> bool {
        self.is_open() || self.failed.iter().any(|other| other != job)
    }

    /// Notes that a job's supervisor ended without having begun it, for a reason that may be the job's own.
    pub(super) fn start_failed(&mut self, job: &JobId, now: Instant) {
        if !self.failed.contains(job) {
            self.failed.push(job.clone());
        }
        if self.is_open() || self.failed.len() >= IN_A_ROW {
            self.host_failed(now);
        }
    }

    /// Notes that nothing can be started at all.
    pub(super) fn host_failed(&mut self, now: Instant) {
        let mut backoff = match &self.open {
            None => Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            // Several starts that began together and fail together count as one try.
            Some(open) if now < open.next => return,
            Some(open) => open.backoff,
        };
        self.open = Some(Open { next: now + backoff.pause(), backoff });
    }

    /// Notes a successful start; returns true when the circuit was open.
    pub(super) fn start_succeeded(&mut self) -> bool {
        self.failed.clear();
        self.open.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> JobId {
        name.parse().unwrap()
    }

    #[test]
    fn circuit_stays_closed_for_one_failing_job() {
        let (mut circuit, now) = (Circuit::default(), Instant::now());
        for _ in 0..20 {
            assert!(!circuit.blames_host(&id("a")));
            circuit.start_failed(&id("a"), now);
            assert_eq!(circuit.allows(now), Allowance::All);
        }
        assert!(circuit.has_failed(&id("a")) && !circuit.start_succeeded());
        assert!(circuit.is_clear());
    }

    #[test]
    fn circuit_opens_at_second_failing_job() {
        let (mut circuit, now) = (Circuit::default(), Instant::now());
        circuit.start_failed(&id("a"), now);
        assert!(circuit.blames_host(&id("b")), "the second one is not to blame");
        circuit.start_failed(&id("b"), now);
        assert_eq!(circuit.allows(now), Allowance::None);
        assert!(circuit.blames_host(&id("a")));
        assert_eq!(circuit.allows(now + FIRST_PAUSE), Allowance::One);
        // A start succeeded in between: these were two faults of two jobs.
        assert!(circuit.start_succeeded());
        circuit.start_failed(&id("a"), now);
        assert!(circuit.start_succeeded() || circuit.is_clear());
        circuit.start_failed(&id("b"), now);
        assert_eq!(circuit.allows(now), Allowance::All);
    }

    #[test]
    fn circuit_pauses_grow_to_bound() {
        let (mut circuit, mut now) = (Circuit::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..12 {
            circuit.host_failed(now);
            circuit.host_failed(now); // Another of the same try.
            let open = circuit.open.as_ref().unwrap();
            pauses.push(open.next - now);
            now = open.next;
        }
        assert_eq!(pauses[0], FIRST_PAUSE);
        assert!(pauses.windows(2).all(|w| w[1] == (w[0] * 2).min(LONGEST_PAUSE)), "{pauses:?}");
        assert_eq!(pauses[11], LONGEST_PAUSE);
    }
}
