//! Derives deliveries from events.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::delivery::{Delivery, DeliveryId, Event, Facts, JobFacts, RecoveryFacts};
use super::settings::Endpoint;
use super::target::{DeliveryTarget, DeliveryTargets};
use crate::queue::{Job, JobEnd, JobId, JobSpec, JobStatus};
use crate::state::Timestamp;

/// The end of a recovery, as an event for receivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryEnd {
    pub at: Timestamp,
    /// Whether something could not be used afterwards, or it did not come to its end.
    pub is_degraded: bool,
    /// Whether the recovery found resources that no job owns.
    pub found_orphans: bool,
    /// The event's content.
    pub facts: RecoveryFacts,
}

/// Finds the deliveries of one state directory.
#[derive(Debug)]
pub struct Deriver<'a> {
    state_id: Uuid,
    endpoints: &'a [Endpoint],
    /// When each endpoint was first configured: it receives only events from then on.
    since: &'a BTreeMap<String, Timestamp>,
    targets: DeliveryTargets,
}

impl<'a> Deriver<'a> {
    /// Makes a deriver for a state directory and its configured endpoints.
    pub fn new(
        state_id: Uuid,
        endpoints: &'a [Endpoint],
        since: &'a BTreeMap<String, Timestamp>,
    ) -> Deriver<'a> {
        Deriver { state_id, endpoints, since, targets: DeliveryTargets::default() }
    }

    /// The deliveries of a job's ends.
    pub fn of_job(&mut self, job: &Job) -> Vec<Delivery> {
        let with_callbacks = has_callbacks(job);
        if job.run_state.is_none() || (!with_callbacks && self.endpoints.is_empty()) {
            return Vec::new();
        }
        let spec = if with_callbacks { job.spec().unwrap_or_default() } else { JobSpec::default() };
        let mut found = Vec::new();
        for end in job.ends() {
            let occasion = occasion_of(&job.id, &end);
            for (index, callback) in spec.callbacks.iter().enumerate() {
                let target = DeliveryTarget::of_callback(callback.clone());
                let id = DeliveryId::derived(self.state_id, &occasion, &callback_name(index));
                found.push(self.delivery(id, event_of(&end), end.at, job_facts(job, &end), target));
            }
            self.for_endpoints(&occasion, event_of(&end), end.at, &job_facts(job, &end), &mut found);
        }
        found
    }

    /// The deliveries of a recovery's end.
    pub(crate) fn of_recovery(&mut self, end: &RecoveryEnd) -> Vec<Delivery> {
        let mut found = Vec::new();
        let RecoveryEnd { at, is_degraded, found_orphans, facts } = end;
        let event = if *is_degraded { Event::RecoveryDegraded } else { Event::RecoveryFinished };
        let (id, facts) = (facts.recovery_id, Facts::Recovery(facts.clone()));
        self.for_endpoints(&format!("recovery/{id}"), event, *at, &facts, &mut found);
        if *found_orphans {
            self.for_endpoints(&format!("orphans/{id}"), Event::OrphansFound, *at, &facts, &mut found);
        }
        found
    }

    fn for_endpoints(
        &mut self,
        occasion: &str,
        event: Event,
        at: Timestamp,
        facts: &Facts,
        found: &mut Vec<Delivery>,
    ) {
        let endpoints = self.endpoints;
        for endpoint in endpoints.iter().filter(|e| e.events.contains(&event)) {
            if self.since.get(&endpoint.name).is_none_or(|since| at < *since) {
                continue;
            }
            let id = DeliveryId::derived(self.state_id, occasion, &endpoint_name(&endpoint.name));
            found.push(self.delivery(id, event, at, facts.clone(), endpoint.target()));
        }
    }

    fn delivery(
        &mut self,
        id: DeliveryId,
        event: Event,
        at: Timestamp,
        facts: Facts,
        target: DeliveryTarget,
    ) -> Delivery {
        Delivery { id, event, at, facts, target: self.targets.shared(target) }
    }
}

/// Returns the ids of all deliveries that could follow from a job's ends, for endpoints with any of these
/// names.
pub(super) fn ids_of_job(state_id: Uuid, job: &Job, endpoints: &[&String]) -> Vec<DeliveryId> {
    if job.run_state.is_none() {
        return Vec::new();
    }
    let callbacks = if has_callbacks(job) { job.spec().map_or(0, |s| s.callbacks.len()) } else { 0 };
    let of_end = |end: &JobEnd| {
        let occasion = occasion_of(&job.id, end);
        let receivers = (0..callbacks).map(callback_name).chain(endpoints.iter().map(|n| endpoint_name(n)));
        receivers.map(|r| DeliveryId::derived(state_id, &occasion, &r)).collect::<Vec<_>>()
    };
    job.ends().iter().flat_map(of_end).collect()
}

/// Returns the ids of all deliveries that could follow from a recovery.
pub(super) fn ids_of_recovery<'a>(
    state_id: Uuid,
    recovery: Uuid,
    endpoints: impl Iterator<Item = &'a String>,
) -> Vec<DeliveryId> {
    let id = |kind, name| {
        let occasion = format!("{kind}/{recovery}");
        DeliveryId::derived(state_id, &occasion, &endpoint_name(name))
    };
    endpoints.flat_map(|name| [id("recovery", name), id("orphans", name)]).collect()
}

/// Whether the job may have callbacks. Its spec is not parsed, because a million jobs may have none.
fn has_callbacks(job: &Job) -> bool {
    memchr::memmem::find(job.raw_spec.as_bytes(), b"\"callbacks\"").is_some()
}

/// Names an end by the log's own data, never by its index in a list.
fn occasion_of(job: &JobId, end: &JobEnd) -> String {
    format!("job/{job}/{}/{}/{}", end.attempt, end.status, end.at.as_millis())
}

fn callback_name(index: usize) -> String {
    format!("callback:{index}")
}

fn endpoint_name(name: &str) -> String {
    format!("endpoint:{name}")
}

fn event_of(end: &JobEnd) -> Event {
    if end.status == JobStatus::Crashed { Event::JobCrashed } else { Event::JobEnded }
}

fn job_facts(job: &Job, end: &JobEnd) -> Facts {
    Facts::Job(JobFacts {
        job_id: job.id.clone(),
        status: end.status,
        attempt: end.attempt,
        exit_code: end.exit_code,
        signal: end.signal,
        reason: end.reason.clone(),
        repository: job.repository.clone(),
        submitted_at: job.submitted_at,
        started_at: end.started_at,
        finished_at: end.at,
    })
}
