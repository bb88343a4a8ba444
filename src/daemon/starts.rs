//! The results of a scheduler's starts: which failed, and who is blamed. The circuit decides
//! ([`super::starting`]).

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::starting::{Allowance, Circuit};
use super::supervisors::{Gone, Supervisors};
use crate::jobs::{StartsHeld, has_begun};
use crate::logging::{Repeats, events};
use crate::queue::{Claim, JobId, JobStatus, QueueState};
use crate::state::StateDir;
use tracing::{info, warn};

/// By this time, a supervisor has given up a command that could not be executed.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// `work`, which runs without a daemon, waits for the circuit only until its pauses are this long.
const PATIENCE: Duration = Duration::from_secs(4);

/// The starts of one scheduler.
#[derive(Debug)]
pub(super) struct Starts {
    circuit: Circuit,
    /// Jobs whose supervisors, started here, have ended without recording an end, with the claim.
    lost: HashMap<JobId, Lost>,
    /// When the last start of a job failed, if the failure is not yet known to be the job's own fault.
    failed_at: HashMap<JobId, Instant>,
    held: Option<StartsHeld>,
    open_since: Option<Instant>,
    trouble: Repeats,
}

impl Default for Starts {
    fn default() -> Starts {
        Starts {
            circuit: Circuit::default(),
            lost: HashMap::new(),
            failed_at: HashMap::new(),
            held: None,
            open_since: None,
            trouble: Repeats::new("others cannot be told whether starts are held"),
        }
    }
}

/// A supervisor of ours that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    pub(super) claim: Claim,
    blames_host: bool,
}

impl Starts {
    pub(super) fn allows(&self) -> Allowance {
        self.circuit.allows(Instant::now())
    }

    /// Returns why no job is started, while the circuit is open.
    pub(super) fn why_held(&self) -> Option<&str> {
        self.held.as_ref().map(|held| held.reason.as_str())
    }

    /// Whether it is worth waiting for the next try.
    pub(super) fn is_trying(&self) -> bool {
        self.circuit.is_open() && self.open_since.is_some_and(|since| since.elapsed() < PATIENCE)
    }

    /// Returns which of the startable jobs to try while the circuit is open: one that has not failed.
    pub(super) fn to_try(&self, startable: Vec<(JobId, u32)>) -> Option<(JobId, u32)> {
        let first = startable.first().cloned();
        startable.into_iter().find(|(job, _)| !self.circuit.has_failed(job)).or(first)
    }

    /// Returns jobs that are not tried again yet: earlier starts may still show that the host is to blame,
    /// and until then a second failure would be counted against them.
    pub(super) fn in_suspense(&self, dir: &StateDir, supervisors: &Supervisors) -> BTreeSet<JobId> {
        if self.failed_at.is_empty() {
            return BTreeSet::new();
        }
        let open = supervisors.younger_than(SETTLED_AFTER);
        let open = open.filter(|(job, claim, _)| has_begun(dir, job, *claim) != Some(true));
        let first = open.map(|(_, _, started)| started).min();
        let is_open = |failed: &Instant| first.is_some_and(|first| first < *failed) || !self.lost.is_empty();
        let waits = self.failed_at.iter().filter(|(_, failed)| is_open(failed));
        waits.map(|(job, _)| job.clone()).collect()
    }

    /// Forgets supervisors whose claims are reconciled, by any scheduler or recovery: they give no more
    /// information, and nothing must wait for them.
    pub(super) fn reconciled_elsewhere(&mut self, state: &QueueState) {
        self.lost.retain(|job, lost| is_under_way(state, job, lost.claim));
    }

    /// Notes supervisors that have ended, with the queue as it is after that.
    pub(super) fn ended(&mut self, dir: &StateDir, gone: &[Gone], state: &QueueState) {
        for Gone { job, claim, blames_host } in gone {
            let now = state.get(job);
            if is_under_way(state, job, *claim) {
                self.lost.insert(job.clone(), Lost { claim: *claim, blames_host: *blames_host });
            } else if now.is_none_or(|j| j.status.is_over()) {
                self.came_about(dir);
            }
        }
    }

    /// Checks whether a start succeeded, when any has failed before.
    pub(super) fn look(&mut self, dir: &StateDir, supervisors: &Supervisors) {
        if self.circuit.is_clear() {
            return;
        }
        let mut old = supervisors.older_than(SETTLED_AFTER);
        if old.any(|(job, claim)| has_begun(dir, job, claim) == Some(true)) {
            self.came_about(dir);
        }
    }

    /// Returns the lost supervisor of this job, when it is known to have ended without beginning the job,
    /// whatever the job's lock shows: no other process has had its claim.
    pub(super) fn left_unbegun(&self, dir: &StateDir, job: &JobId) -> Option<Lost> {
        let lost = self.lost.get(job).copied()?;
        (has_begun(dir, job, lost.claim) == Some(false)).then_some(lost)
    }

    /// Returns those of these jobs whose failed start is the host's fault.
    pub(super) fn blamed_on_host(&self, jobs: &[JobId]) -> BTreeSet<JobId> {
        let is_of_host = |job: &&JobId| {
            self.lost.get(*job).is_some_and(|lost| lost.blames_host || self.circuit.blames_host(job))
        };
        jobs.iter().filter(is_of_host).cloned().collect()
    }

    /// Notes the judgement of a job whose supervisor was lost.
    pub(super) fn judged(&mut self, dir: &StateDir, job: &JobId, never_started: bool, why: &str) {
        let Some(lost) = self.lost.remove(job).filter(|_| never_started) else { return };
        let now = Instant::now();
        if lost.blames_host {
            self.circuit.host_failed(now);
        }
        self.circuit.start_failed(job, now);
        self.failed_at.insert(job.clone(), now);
        self.tell(dir, why);
    }

    /// Notes that not even a supervisor could be started.
    pub(super) fn host_failed(&mut self, dir: &StateDir, why: &str) {
        self.circuit.host_failed(Instant::now());
        self.tell(dir, why);
    }

    fn tell(&mut self, dir: &StateDir, why: &str) {
        if !self.circuit.is_open() {
            return;
        }
        self.open_since.get_or_insert_with(Instant::now);
        if self.held.as_ref().is_none_or(|held| held.reason != why) {
            let mut held = StartsHeld::now(dir, why.to_owned());
            held.since = self.held.as_ref().map_or(held.since, |before| before.since);
            warn!(
                event = events::STARTS_HELD,
                finding_code = "host-cannot-start",
                reason = why,
                "no job is started: {why}"
            );
            self.trouble.note(held.write(dir));
            self.held = Some(held);
        }
    }

    /// Replaces the report of an earlier scheduler.
    pub(super) fn tell_anew(&self, dir: &StateDir) {
        self.trouble.note(match &self.held {
            Some(held) => held.write(dir),
            None => StartsHeld::remove(dir),
        });
    }

    fn came_about(&mut self, dir: &StateDir) {
        self.circuit.start_succeeded();
        self.failed_at.clear();
        self.forget(dir);
    }

    /// Notes that starts are not held any more, or that the scheduler ends.
    pub(super) fn forget(&mut self, dir: &StateDir) {
        self.open_since = None;
        if self.held.take().is_some() {
            info!(event = events::STARTS_RESUMED, "starts of jobs are not held any more");
            // A file that stays does not count after this scheduler has ended.
            self.trouble.note(StartsHeld::remove(dir));
        }
    }
}

/// Whether a job runs by this very claim.
fn is_under_way(state: &QueueState, job: &JobId, claim: Claim) -> bool {
    state.get(job).is_some_and(|j| j.status == JobStatus::Running && j.run_state().claim == Some(claim))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::durable::Disk;
    use crate::queue::{Actor, JobSpec, Operation, Queue, Submission};
    use crate::state::Clock;

    fn id(name: &str) -> JobId {
        name.parse().unwrap()
    }

    /// Submits and claims a job; returns the claim.
    fn claimed(queue: &mut Queue, name: &str) -> u64 {
        let spec = JobSpec { command: vec!["true".to_owned()], ..JobSpec::default() };
        let submission = Submission { job: id(name), priority: 0, repository: None, spec };
        let operations =
            vec![Operation::Submit(submission), Operation::Claim { job: id(name), attempt: 1, host: None }];
        queue.transact(&Actor::default(), |_| (operations, ())).unwrap().0[1]
    }

    fn given_back(queue: &mut Queue, name: &str, claim: Claim) {
        let reason = "by another process".to_owned();
        let back = Operation::Unclaim { job: id(name), claim, reason, not_before: None, failed_start: true };
        queue.transact(&Actor::default(), |_| (vec![back], ())).unwrap();
    }

    fn gone(name: &str, claim: Claim) -> Gone {
        Gone { job: id(name), claim, blames_host: false }
    }

    /// Until it is reconciled, a start whose supervisor is gone may still show who is to blame for others; a
    /// recovery by another process may reconcile it, and then nothing waits for it any more.
    #[test]
    fn lost_start_is_kept_until_claim_reconciled() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        let dir = StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap();
        let mut queue = Queue::open(&dir).unwrap();
        let (mut starts, none) = (Starts::default(), Supervisors::default());
        let failed = claimed(&mut queue, "failed");
        starts.ended(&dir, &[gone("failed", Claim::of_record(failed))], queue.state());
        given_back(&mut queue, "failed", Claim::of_record(failed));
        starts.judged(&dir, &id("failed"), true, "it left");
        assert!(starts.in_suspense(&dir, &none).is_empty(), "nothing else is under way");

        let lost = claimed(&mut queue, "lost");
        starts.ended(&dir, &[gone("lost", Claim::of_record(lost))], queue.state());
        starts.reconciled_elsewhere(queue.state());
        assert_eq!(
            starts.left_unbegun(&dir, &id("lost")).map(|lost| lost.claim),
            Some(Claim::of_record(lost))
        );
        assert_eq!(starts.in_suspense(&dir, &none), BTreeSet::from([id("failed")]));
        assert_eq!(starts.blamed_on_host(&[id("lost")]), BTreeSet::from([id("lost")]), "two in a row");

        // The job was reconciled and claimed again by another scheduler: it runs, but not by this claim.
        given_back(&mut queue, "lost", Claim::of_record(lost));
        let again = Operation::Claim { job: id("lost"), attempt: 1, host: None };
        queue.transact(&Actor::default(), |_| (vec![again], ())).unwrap();
        assert_eq!(queue.state().get(&id("lost")).unwrap().status, JobStatus::Running);
        starts.reconciled_elsewhere(queue.state());
        assert!(starts.left_unbegun(&dir, &id("lost")).is_none());
        assert!(starts.in_suspense(&dir, &none).is_empty(), "nobody waits for ever");
        assert!(starts.blamed_on_host(&[id("lost")]).is_empty());
    }
}
