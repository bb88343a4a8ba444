//! Claims the queued jobs whose turn it is and starts their supervisors; gives claims back under which nothing began.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tracing::warn;

use super::choice::{Standing, startable};
use super::scheduler::{Scheduler, SchedulerSettings, WorkError};
use super::starting::Allowance;
use super::supervisors::can_start;
use super::told::tell_start;
use crate::durable::log::Position;
use crate::durable::{error_chain, has_weakness};
use crate::jobs::{after_failed_start, given_back_for_host};
use crate::locks::{self, Availability};
use crate::logging::events;
use crate::queue::{Claim, JobId, Operation, QueueState};

/// When only one start is tried, the job is chosen among this many.
const TRIED_AMONG: usize = 1000;

impl Scheduler {
    /// Claims as many jobs as may start now, and starts them; true when it claimed any.
    pub(super) fn start_jobs(&mut self) -> Result<bool, WorkError> {
        self.is_kept_waiting = false;
        if self.is_ending {
            return Ok(false);
        }
        let slots = self.settings.workers.saturating_sub(self.queue.state().running().len());
        let allowance = self.starts.allows();
        if slots == 0 || self.queue.state().counts().queued == 0 || allowance == Allowance::None {
            return Ok(false);
        }
        let state = self.queue.state();
        let wanted = || state.wanted_repositories().map(ToString::to_string).collect();
        self.occupied.look(&self.dir, state, &wanted);
        let mut looked: HashMap<Arc<str>, Standing> = HashMap::new();
        let mut standing_of =
            |name: &Arc<str>| *looked.entry(name.clone()).or_insert_with(|| self.standing_of(name));
        let (now, only, occupied) = (self.dir.clock.now(), &self.settings.only, &self.occupied);
        let (starts, in_suspense) = (&self.starts, self.starts.in_suspense(&self.dir, &self.supervisors));
        let is_excluded = |id: &JobId| {
            (!only.is_empty() && !only.contains(id)) || occupied.has(id) || in_suspense.contains(id)
        };
        let workers = self.settings.workers;
        let choose = |state: &QueueState, standing_of: &mut dyn FnMut(&Arc<str>) -> Standing| {
            let slots = workers.saturating_sub(state.running().len());
            match allowance {
                Allowance::One => {
                    let some = startable(state, now, TRIED_AMONG, standing_of, &is_excluded);
                    starts.to_try(some).into_iter().collect()
                }
                _ => startable(state, now, slots, standing_of, &is_excluded),
            }
        };
        let looked_at: BTreeSet<_> = choose(self.queue.state(), &mut standing_of).into_iter().collect();
        let is_any_held = looked.values().any(|standing| *standing == Standing::Held);
        self.is_kept_waiting = is_any_held || occupied.is_any() || !in_suspense.is_empty();
        if looked_at.is_empty() {
            return Ok(false);
        }
        if let Err(e) = can_start(&self.settings.supervisor) {
            // This check comes before anything is claimed, so that a failure costs no job anything.
            self.starts.host_failed(&self.dir, &error_chain(&e));
            return Ok(false);
        }
        // The choice is repeated under the append lock: another scheduler may have claimed since the look,
        // and each sees the other's records here.
        let before = self.queue.position();
        let (claims, chosen) = self.queue.transact(&self.settings.jobs.actor, |state| {
            // A job that was submitted since then, or whose repository was given back, may have an earlier
            // ticket before it that was not checked: its turn is in the next round.
            let known = &mut |name: &Arc<str>| looked.get(name).copied().unwrap_or(Standing::Held);
            let chosen: Vec<_> =
                choose(state, known).into_iter().filter(|job| looked_at.contains(job)).collect();
            let claim = |(job, attempt): &(JobId, u32)| Operation::Claim {
                job: job.clone(),
                attempt: *attempt,
                host: Some(self.host.clone()),
            };
            (chosen.iter().map(claim).collect(), chosen)
        })?;
        for (claim, (id, _)) in claims.into_iter().map(Claim::of_record).zip(&chosen) {
            self.start(id, claim, before)?;
        }
        // Another round is also due because the queue has changed since the look.
        Ok(true)
    }

    /// Returns whether a holder other than a running job, or an unknown one, has a repository, and who waits
    /// for it with a ticket.
    fn standing_of(&self, repository: &str) -> Standing {
        // The order matters: a waiter that gives its ticket up in between has the lock by then.
        let ticket = locks::first_ticket(&self.dir, repository);
        match !self.occupied.closes(repository) && self.is_available(repository) {
            true => Standing::Free { ticket },
            false => Standing::Held,
        }
    }

    fn is_available(&self, repository: &str) -> bool {
        match locks::availability(&self.dir, repository) {
            Availability::Free => true,
            // The supervisor may have been killed between recording the end and giving the lock back.
            Availability::LeftByJob => self.recover_lock(repository),
            Availability::Held | Availability::Unavailable => false,
        }
    }

    fn start(&mut self, id: &JobId, claim: Claim, before: Position) -> Result<(), WorkError> {
        // A failure to write the record may be caused by the job's own folder; a failure to start a
        // supervisor is the host's.
        let recorded = self.write_record_of(id).map_err(|e| (has_weakness(&e), error_chain(&e)));
        let started = recorded.and_then(|()| {
            let SchedulerSettings { supervisor, environment, .. } = &self.settings;
            self.supervisors
                .start(&self.dir, supervisor, environment, id, (claim, before))
                .map_err(|e| (true, error_chain(&e)))
        });
        let Err((is_of_host, reason)) = started else {
            tell_start(self.queue.state().get(id), claim);
            self.started.push(id.clone());
            return Ok(());
        };
        // Nothing was started: the claim is given back, and the job is tried again later.
        warn!(event = events::JOB_RETURNED, job_id = %id, claim = claim.seq(), of_host = is_of_host, "job {id} was not started: {reason}");
        if is_of_host {
            self.starts.host_failed(&self.dir, &reason);
        }
        self.give_back(id, claim, &reason, is_of_host)
    }

    /// Gives a claim back under which nothing was begun.
    pub(super) fn give_back(
        &mut self,
        id: &JobId,
        claim: Claim,
        why: &str,
        is_of_host: bool,
    ) -> Result<(), WorkError> {
        let (now, most) = (self.dir.clock.now(), self.settings.jobs.start_tries);
        self.queue.transact(&self.settings.jobs.actor, |state| {
            let job = state.get(id).filter(|job| job.run_state().claim == Some(claim));
            let given_back = job.map(|job| {
                if is_of_host {
                    given_back_for_host(job, why)
                } else {
                    after_failed_start(job, why, now, most)
                }
            });
            (given_back.into_iter().collect(), ())
        })?;
        Ok(())
    }
}
