//! A delivery: one event for one receiver.
//!
//! A delivery is never stored: it is derived from the record of the event. So none can be lost between two
//! files, and every process that reads the same queue derives the same deliveries with the same ids.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::target::DeliveryTarget;
use crate::queue::{JobId, JobStatus};
use crate::state::Timestamp;

/// Names a delivery over all its attempts: the header `webhook-id`.
///
/// A UUID of version 5 (RFC 9562, section 5.5) of what happened, below the state directory's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DeliveryId(Uuid);

impl DeliveryId {
    /// Returns a new id, for an event that is reported only once.
    #[allow(clippy::new_without_default)] // Each is another.
    pub(crate) fn new() -> DeliveryId {
        DeliveryId(Uuid::now_v7())
    }

    /// Derives the id of an event, named by `occasion`, for a receiver, named by `receiver`.
    pub(super) fn derived(state_id: Uuid, occasion: &str, receiver: &str) -> DeliveryId {
        DeliveryId(Uuid::new_v5(&state_id, format!("{occasion}/{receiver}").as_bytes()))
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DeliveryId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<DeliveryId, uuid::Error> {
        Uuid::parse_str(text).map(DeliveryId)
    }
}

/// The events that receivers are told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WebhookEvent")]
pub enum Event {
    /// A job is over.
    #[serde(rename = "job.ended")]
    JobEnded,
    /// A job crashed and waits for an operator.
    #[serde(rename = "job.crashed")]
    JobCrashed,
    /// A recovery came to its end, and all is well.
    #[serde(rename = "recovery.finished")]
    RecoveryFinished,
    /// A recovery came to its end, but something cannot be used.
    #[serde(rename = "recovery.degraded")]
    RecoveryDegraded,
    /// A recovery found resources that no job owns.
    #[serde(rename = "orphans.found")]
    OrphansFound,
    /// Sent by `webhooks test`.
    #[serde(rename = "webhook.test")]
    Test,
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Event {
    /// The events that an endpoint can ask for.
    pub(crate) const ALL: [Event; 5] = [
        Event::JobEnded,
        Event::JobCrashed,
        Event::RecoveryFinished,
        Event::RecoveryDegraded,
        Event::OrphansFound,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Event::JobEnded => "job.ended",
            Event::JobCrashed => "job.crashed",
            Event::RecoveryFinished => "recovery.finished",
            Event::RecoveryDegraded => "recovery.degraded",
            Event::OrphansFound => "orphans.found",
            Event::Test => "webhook.test",
        }
    }
}

/// The event's content: the `data` of the document that is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Facts {
    Job(JobFacts),
    Recovery(RecoveryFacts),
    Test { message: &'static str },
}

/// The end of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobFacts {
    pub job_id: JobId,
    pub status: JobStatus,
    pub attempt: u32,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub reason: Option<String>,
    pub repository: Option<Arc<str>>,
    pub submitted_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Timestamp,
}

/// The end of a recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecoveryFacts {
    pub recovery_id: Uuid,
    pub outcome: String,
    pub purpose: String,
    pub started_at: Timestamp,
    pub duration_ms: u64,
    /// How many resources cannot be used.
    pub degraded: u64,
    /// The number of findings by code.
    pub findings: std::collections::BTreeMap<String, u64>,
}

/// A notice to a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    /// What kind of thing happened.
    pub event: Event,
    /// When it happened: earlier events are delivered first.
    pub at: Timestamp,
    /// The event's content.
    pub facts: Facts,
    /// The receiver.
    pub target: Arc<DeliveryTarget>,
}

impl Delivery {
    /// The job that the event is about.
    pub fn job_id(&self) -> Option<&JobId> {
        match &self.facts {
            Facts::Job(job) => Some(&job.job_id),
            _ => None,
        }
    }

    /// Its position in the line: by the time of the event.
    pub(crate) fn order(&self) -> (Timestamp, DeliveryId) {
        (self.at, self.id)
    }
}
