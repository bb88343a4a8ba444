//! `[webhooks]`: its settings.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::state::{Cidr, Secret};

/// `[webhooks]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The pauses before the second, third … try.
    pub retry: Vec<Duration>,
    /// The longest time of an attempt.
    pub timeout: Duration,
    /// The longest `Retry-After` that is honoured.
    pub retry_after_max: Duration,
    /// The most attempts under way at a time, without those that wait for a slow receiver.
    pub concurrency: usize,
    /// The most attempts under way at one endpoint.
    pub per_endpoint: usize,
    /// Whether a delivery that waits for its next try holds up the later ones of its receiver.
    pub strict_order: bool,
    /// Failures in a row that open an endpoint's circuit.
    pub breaker_failures: u32,
    /// How long a circuit stays open at first.
    pub breaker_pause: Duration,
    /// How long a circuit stays open at most.
    pub breaker_pause_max: Duration,
    /// Addresses that may be called; all when empty.
    pub allow: Vec<Cidr>,
    /// Addresses that may not be called.
    pub deny: Vec<Cidr>,
    /// The secrets with which deliveries are signed.
    pub secrets: Vec<SecretSource>,
    /// Certificates trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// How long attempts stay in the delivery log.
    pub keep: Duration,
    /// How many attempts stay in the delivery log at most.
    pub keep_entries: usize,
    /// Operators' own receivers.
    pub endpoints: Vec<WebhookEndpoint>,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In the configuration itself.
    Given(Secret),
    /// In a file, which the edge reads.
    File(PathBuf),
}

/// An operator's own receiver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookEndpoint {
    pub name: String,
    pub url: String,
    /// The events that it receives.
    pub events: Vec<String>,
    /// The secrets with which its deliveries are signed.
    pub secrets: Vec<SecretSource>,
    /// The method, `POST` when not given.
    pub method: Option<String>,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
    /// The template of the body.
    pub body: Option<String>,
}

impl Default for WebhookSettings {
    fn default() -> WebhookSettings {
        WebhookSettings {
            retry: [30, 120, 600].map(Duration::from_secs).to_vec(),
            timeout: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(3600),
            concurrency: 32,
            per_endpoint: 1,
            strict_order: false,
            breaker_failures: 5,
            breaker_pause: Duration::from_secs(30),
            breaker_pause_max: Duration::from_secs(600),
            allow: Vec::new(),
            deny: Vec::new(),
            secrets: Vec::new(),
            ca_file: None,
            keep: Duration::from_secs(30 * 24 * 3600),
            keep_entries: 10_000,
            endpoints: Vec::new(),
        }
    }
}
