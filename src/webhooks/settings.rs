//! Settings of deliveries.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::addresses::AddressRules;
use super::attempt_retention::AttemptRetention;
use super::delivery::Event;
use super::parsed_url::ParsedUrl;
use super::target::{DeliveryTarget, endpoint_of};
use crate::state::Secret;

/// An operator's own receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name, unique.
    pub name: String,
    pub url: String,
    /// The events that it receives; none when empty: then it only gives its secrets to callbacks below its
    /// address.
    pub events: Vec<Event>,
    /// The newest first; while they are changed, two.
    pub secrets: Vec<Secret>,
    /// `POST` when not given.
    pub method: Option<String>,
    /// Sent in addition to our own headers; also with callbacks below its address.
    pub headers: BTreeMap<String, String>,
    /// The template of the body.
    pub body: Option<String>,
}

impl Endpoint {
    /// As the receiver of a delivery.
    pub(crate) fn target(&self) -> DeliveryTarget {
        DeliveryTarget {
            endpoint: endpoint_of(&self.url),
            url: self.url.clone(),
            name: Some(self.name.clone()),
            method: self.method.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
        }
    }
}

/// How deliveries are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The pauses before the second, third … try. When they are used up the delivery is parked.
    pub pauses: Vec<Duration>,
    /// The longest time of an attempt, from name to last byte.
    pub timeout: Duration,
    /// The longest `Retry-After` that is honoured.
    pub retry_after_max: Duration,
    /// How many attempts are under way at most, without those that wait for a slow receiver.
    pub concurrency: usize,
    /// How many of them at one endpoint.
    pub per_endpoint: usize,
    /// Whether a delivery that waits for its next try holds up those behind it at the same endpoint.
    pub strict_order: bool,
    /// Failures of an endpoint in a row that open its circuit.
    pub breaker_failures: u32,
    /// How long it stays open at first; doubles up to [`Settings::breaker_pause_max`].
    pub breaker_pause: Duration,
    /// How long it stays open at most.
    pub breaker_pause_max: Duration,
    /// The addresses that may be called.
    pub addresses: AddressRules,
    /// With which deliveries are signed, unless an endpoint has its own. The newest first.
    pub secrets: Vec<Secret>,
    /// Certificates trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// Operators' own receivers.
    pub endpoints: Vec<Endpoint>,
    /// How long attempts stay in the log.
    pub keep: Duration,
    /// How many attempts stay in the log at most.
    pub keep_entries: usize,
    /// Records since the last compaction that make the next one due.
    pub compact_records: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            pauses: [30, 120, 600].map(Duration::from_secs).to_vec(),
            timeout: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(3600),
            concurrency: 32,
            per_endpoint: 1,
            strict_order: false,
            breaker_failures: 5,
            breaker_pause: Duration::from_secs(30),
            breaker_pause_max: Duration::from_secs(600),
            addresses: AddressRules::default(),
            secrets: Vec::new(),
            ca_file: None,
            endpoints: Vec::new(),
            keep: Duration::from_secs(30 * 24 * 3600),
            keep_entries: 10_000,
            compact_records: 50_000,
        }
    }
}

impl Settings {
    /// The secrets that a delivery is signed with.
    pub(crate) fn secrets_for(&self, target: &DeliveryTarget) -> &[Secret] {
        let by_name = || self.endpoints.iter().find(|e| target.name.as_ref() == Some(&e.name));
        let own = by_name().or_else(|| self.covering(target)).map(|e| e.secrets.as_slice());
        own.filter(|s| !s.is_empty()).unwrap_or(&self.secrets)
    }

    /// The endpoint that gives a callback its headers and secrets: the one with the longest path.
    pub(super) fn covering(&self, target: &DeliveryTarget) -> Option<&Endpoint> {
        let other = ParsedUrl::of(&target.url).filter(|_| target.name.is_none())?;
        let places = self.endpoints.iter().filter_map(|e| ParsedUrl::of(&e.url).map(|own| (own, e)));
        let covering = places.filter(|(own, _)| own.covers(&other));
        covering.max_by_key(|(own, e)| (own.depth(), e.url.len())).map(|(_, e)| e)
    }

    /// How much of the past is kept.
    pub(crate) fn retention(&self) -> AttemptRetention {
        AttemptRetention { keep: self.keep, entries: self.keep_entries }
    }

    /// The longest time that a delivery can have to wait for its next try.
    pub(super) fn longest_pause(&self) -> Duration {
        self.pauses.iter().copied().max().unwrap_or_default().max(self.retry_after_max)
    }
}
