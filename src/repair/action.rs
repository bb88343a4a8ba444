//! What a repair reports.

use crate::findings::Object;
use crate::state::Word;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of the state that is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RepairPart")]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Log and snapshots.
    Queue,
    /// Running jobs that are over, and the jobs' own records.
    Jobs,
    /// Repository locks.
    Locks,
    /// The log of deliveries.
    Webhooks,
}

impl Part {
    /// All parts, in the order in which they are repaired.
    pub(crate) const ALL: [Part; 4] = [Part::Queue, Part::Jobs, Part::Locks, Part::Webhooks];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Part::Queue => "queue",
            Part::Jobs => "jobs",
            Part::Locks => "locks",
            Part::Webhooks => "webhooks",
        }
    }
}

/// One act, on one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepairAction {
    /// What is done: `drop-damaged-record`, `free-lock`.
    pub action: Word,
    /// To what: `file:PATH`, `job:ID`, `lock:REPOSITORY`, `webhook:ID`.
    pub object: Object,
    /// Why.
    pub reason: String,
    /// What it does, and what that rests on.
    pub detail: String,
    /// Whether it was done.
    pub done: bool,
    /// Why not.
    pub error: Option<String>,
    /// The queue's own log tells of it, with who and why.
    #[serde(skip)]
    pub is_in_queue_log: bool,
}

impl RepairAction {
    pub(super) fn new(action: &'static str, object: Object, reason: String, detail: String) -> RepairAction {
        RepairAction {
            action: action.into(),
            object,
            reason,
            detail,
            done: false,
            error: None,
            is_in_queue_log: false,
        }
    }

    pub(super) fn is_same(&self, other: &RepairAction) -> bool {
        self.action == other.action && self.object == other.object && self.detail == other.detail
    }
}

/// Something that only an operator can decide about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RepairLeft")]
pub struct Left {
    /// What.
    pub object: Object,
    /// Why nothing was done.
    pub reason: String,
    /// What is known.
    pub evidence: Vec<String>,
    /// The command that settles it.
    pub next: String,
}

/// How the queue stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct QueueCondition {
    pub jobs: u64,
    pub last_seq: u64,
    pub damaged_records: u64,
    pub torn_bytes: u64,
    pub missing_records: u64,
    pub refused_records: u64,
    pub damaged_snapshots: u64,
    /// Jobs that only their own records tell of.
    pub lost_jobs: u64,
}

/// How the jobs stand.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct JobsCondition {
    pub running: u64,
    pub alive: u64,
    /// Running as far as the queue knows, and provably over.
    pub over: u64,
    pub unknown: u64,
    /// Records that are missing, damaged or behind.
    pub outdated_records: u64,
}

/// How the locks stand.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct LocksCondition {
    pub live: u64,
    pub free: u64,
    pub stale: u64,
    pub unavailable: u64,
}

/// How the deliveries stand.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DeliveriesCondition {
    pub damaged_records: u64,
    pub missing_records: u64,
    pub refused_records: u64,
    /// Attempts that are under way, or were when their sender died.
    pub in_flight: u64,
}

/// How everything stands that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RepairCondition")]
pub struct Condition {
    /// Acts that are called for, and things that an operator must decide about.
    pub problems: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueCondition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<JobsCondition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locks: Option<LocksCondition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhooks: Option<DeliveriesCondition>,
}

/// What was wrong, what was done, how it stands.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RepairReport {
    /// What was looked at.
    pub parts: Vec<Part>,
    /// Whether it was only looked at.
    pub dry_run: bool,
    /// Every act, in the order in which they are done.
    pub actions: Vec<RepairAction>,
    /// What only an operator can decide about.
    pub left: Vec<Left>,
    /// What was put into quarantine now.
    pub quarantined: Vec<String>,
    /// Before.
    pub before: Condition,
    /// Afterwards; in a dry run the same.
    pub after: Condition,
}

impl RepairReport {
    /// Whether an act was needed and not done.
    pub fn is_incomplete(&self) -> bool {
        !self.dry_run && self.actions.iter().any(|a| !a.done)
    }
}
