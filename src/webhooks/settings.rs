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

/// A receiver that the operator configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name, which is unique.
    pub name: String,
    pub url: String,
    /// The events that it receives. Without any, it only gives its secrets to callbacks below its address.
    pub events: Vec<Event>,
    /// Its secrets, the newest first; there are two while the secret is being changed.
    pub secrets: Vec<Secret>,
    /// The HTTP method; `POST` when not given.
    pub method: Option<String>,
    /// Headers sent in addition to our own, also with callbacks below its address.
    pub headers: BTreeMap<String, String>,
    /// The template of the body.
    pub body: Option<String>,
}

impl Endpoint {
    /// Returns the endpoint as the receiver of a delivery.
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
    /// The pauses before the second, third … try. When they are used up, the delivery is parked.
    pub pauses: Vec<Duration>,
    /// The longest time of an attempt, from name resolution to the last byte.
    pub timeout: Duration,
    /// The longest `Retry-After` that is honoured.
    pub retry_after_max: Duration,
    /// How many attempts may be under way, without those that wait for a slow receiver.
    pub concurrency: usize,
    /// How many attempts may be under way at one endpoint.
    pub per_endpoint: usize,
    /// Whether a delivery that waits for its next try blocks those behind it at the same endpoint.
    pub strict_order: bool,
    /// How many failures of an endpoint in a row open its circuit.
    pub breaker_failures: u32,
    /// How long a circuit stays open at first; the time doubles up to [`Settings::breaker_pause_max`].
    pub breaker_pause: Duration,
    /// How long a circuit stays open at most.
    pub breaker_pause_max: Duration,
    /// The addresses that may be called.
    pub addresses: AddressRules,
    /// The secrets that sign deliveries, unless an endpoint has its own; the newest first.
    pub secrets: Vec<Secret>,
    /// Certificates trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// The receivers that operators configured.
    pub endpoints: Vec<Endpoint>,
    /// How long attempts stay in the log.
    pub keep: Duration,
    /// How many attempts stay in the log at most.
    pub keep_entries: usize,
    /// How many records since the last compaction make the next one due.
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
    /// Returns the secrets that sign a delivery.
    pub(crate) fn secrets_for(&self, target: &DeliveryTarget) -> &[Secret] {
        let by_name = || self.endpoints.iter().find(|e| target.name.as_ref() == Some(&e.name));
        let own = by_name().or_else(|| self.covering(target)).map(|e| e.secrets.as_slice());
        own.filter(|s| !s.is_empty()).unwrap_or(&self.secrets)
    }

    /// Returns the endpoint that gives a callback its headers and secrets: the one with the longest path.
    pub(super) fn covering(&self, target: &DeliveryTarget) -> Option<&Endpoint> {
        let other = ParsedUrl::of(&target.url).filter(|_| target.name.is_none())?;
        let places = self.endpoints.iter().filter_map(|e| ParsedUrl::of(&e.url).map(|own| (own, e)));
        let covering = places.filter(|(own, _)| own.covers(&other));
        covering.max_by_key(|(own, e)| (own.depth(), e.url.len())).map(|(_, e)| e)
    }

    /// Returns how long and how many attempts are kept.
    pub(crate) fn retention(&self) -> AttemptRetention {
        AttemptRetention { keep: self.keep, entries: self.keep_entries }
    }

    /// Returns the longest time that a delivery can have to wait for its next try.
    pub(super) fn longest_pause(&self) -> Duration {
        self.pauses.iter().copied().max().unwrap_or_default().max(self.retry_after_max)
    }
}
