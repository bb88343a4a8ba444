//! The records of the delivery log, as they are written.
//!
//! One JSON object a record: `v` (the version of this format, 1), `at`, `op`, then the operation's own
//! members. The log has the attempts; the deliveries follow from the queue.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::delivery::{DeliveryId, Event};
use super::target::endpoint_of;
use crate::state::Timestamp;

/// The version of this format.
pub(crate) const DELIVERY_LOG_VERSION: u32 = 1;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeliveryOutcome")]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    /// It arrived.
    Delivered,
    /// It did not; the next try comes by itself.
    Retry,
    /// It did not; the next try comes when an operator asks for it.
    Parked,
    /// It was not sent: its address must not be called. The next try comes when an operator asks for it.
    Refused,
}

impl std::fmt::Display for DeliveryOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl DeliveryOutcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            DeliveryOutcome::Delivered => "delivered",
            DeliveryOutcome::Retry => "retry",
            DeliveryOutcome::Parked => "parked",
            DeliveryOutcome::Refused => "refused",
        }
    }
}

/// An attempt that has ended. Holds no secrets: the address is masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempted {
    pub delivery: DeliveryId,
    /// The number of the attempt, counted from 1 over the delivery's whole life.
    pub attempt: u32,
    /// The job that the event is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// What kind of thing happened.
    pub event: Event,
    /// The receiver's address, as reports show it.
    pub url: String,
    /// How it ended.
    pub outcome: DeliveryOutcome,
    /// What the receiver answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The error, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the delivery is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<Timestamp>,
    /// Until when the receiver asked that nothing be sent to its endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}

impl Attempted {
    /// Returns the endpoint that asked for a pause, and until when.
    pub(crate) fn retry_after(&self) -> Option<(String, Timestamp)> {
        self.not_before.map(|until| (endpoint_of(&self.url), until))
    }
}

/// The state of an undelivered delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "standing")]
pub enum DeliveryState {
    /// An attempt is under way, or was when its sender died.
    InFlight {
        /// When that attempt began.
        since: Timestamp,
    },
    /// The delivery is tried again.
    Waiting {
        /// The time of the next try at the earliest.
        next_try_at: Timestamp,
    },
    /// The delivery waits for an operator.
    Parked {
        /// Whether it waits because its address must not be called.
        refused: bool,
    },
}

/// The progress of an undelivered delivery that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryProgress {
    /// Attempts begun, over the delivery's whole life.
    pub attempts: u32,
    /// Attempts since an operator last released the delivery; interrupted ones do not count.
    pub tries: u32,
    /// The delivery's state.
    #[serde(flatten)]
    pub standing: DeliveryState,
    /// The error of the last attempt that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<Box<str>>,
}

/// An operation on deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Operation {
    /// An attempt begins. Written before anything is sent.
    Begin { delivery: DeliveryId, attempt: u32 },
    /// An attempt has ended.
    Attempted(Attempted),
    /// Attempts were under way when their sender ended: whether they were delivered is unknown.
    Interrupted {
        /// The deliveries of these attempts.
        deliveries: Vec<DeliveryId>,
    },
    /// An operator wants deliveries tried again now.
    Retry {
        deliveries: Vec<DeliveryId>,
        /// Their endpoints, which are tried whatever their circuits and `Retry-After` say.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        endpoints: Vec<String>,
        by: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// An operator gives deliveries up: they count as settled.
    Discard {
        deliveries: Vec<DeliveryId>,
        by: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// An endpoint's circuit opened, stayed open after a probe, or closed.
    Circuit {
        endpoint: String,
        /// Failures in a row.
        failures: u32,
        /// Until when nothing is sent to the endpoint; absent when the circuit closed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        open_until: Option<Timestamp>,
        /// The error of the last failure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A configured endpoint was seen for the first time: it receives all events from now on.
    Endpoint { name: String },
    /// A compaction begins: everything up to its end replaces everything before it.
    CompactionBegin,
    /// Part of a compaction: an undelivered delivery.
    Kept {
        delivery: DeliveryId,
        /// The delivery's progress.
        #[serde(flatten)]
        progress: DeliveryProgress,
    },
    /// Part of a compaction: deliveries that have arrived or were given up.
    KeptSettled {
        deliveries: Vec<DeliveryId>,
        /// Whether they were given up.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        discarded: bool,
    },
    /// Part of a compaction: since when an endpoint receives events.
    KeptEndpoint {
        name: String,
        /// Since when the endpoint receives events.
        since: Timestamp,
    },
    /// Part of a compaction: an attempt that is still to be shown.
    KeptAttempt {
        /// When it ended.
        ended_at: Timestamp,
        /// The recorded attempt.
        #[serde(flatten)]
        attempted: Attempted,
    },
    /// The compaction is whole when so many records lie between its begin and this.
    CompactionEnd { records: u64 },
}

/// A complete record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the format.
    pub v: u32,
    pub at: Timestamp,
    #[serde(flatten)]
    pub operation: Operation,
}

impl Record {
    /// Returns the line of an operation.
    ///
    /// # Errors
    /// Never for the types here, as far as is known.
    pub(crate) fn line(at: Timestamp, operation: &Operation) -> Result<Vec<u8>, serde_json::Error> {
        #[derive(Serialize)]
        struct Line<'a> {
            v: u32,
            at: Timestamp,
            #[serde(flatten)]
            operation: &'a Operation,
        }
        serde_json::to_vec(&Line { v: DELIVERY_LOG_VERSION, at, operation })
    }
}
