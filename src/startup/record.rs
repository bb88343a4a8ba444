//! The events of startups as the log holds them: startups, acts of cleaning, safe mode and its end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::marker::Marker;
use crate::state::Timestamp;

/// How a startup ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartupOutcome {
    /// All phases succeeded.
    Completed,
    /// Up, with named resources that are not usable.
    Degraded,
    /// Its process died before it was up.
    Aborted,
    /// It gave up.
    Failed,
    /// It is under way.
    Running,
}

impl StartupOutcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            StartupOutcome::Completed => "completed",
            StartupOutcome::Degraded => "degraded",
            StartupOutcome::Aborted => "aborted",
            StartupOutcome::Failed => "failed",
            StartupOutcome::Running => "running",
        }
    }
}

/// One startup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartupEntry {
    /// Names it.
    pub startup_id: String,
    /// What kind of process; `None` when the marker was damaged.
    pub by: Option<String>,
    /// When it began; `None` when the marker was damaged.
    pub started_at: Option<Timestamp>,
    /// When it ended; `None` for one that runs or was aborted.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: StartupOutcome,
    /// The phase that it was in, or died in.
    pub phase: Option<String>,
    /// All the phases that were under way then: phases may run side by side.
    #[serde(default)]
    pub phases_entered: Vec<String>,
    /// The phases that were done.
    pub phases_done: Vec<String>,
    /// How long it took, in milliseconds, by the wall clock; `None` where `ended_at` is.
    pub duration_ms: Option<i64>,
    /// How many findings it had.
    pub findings_total: u64,
    /// The recovery that ran in it, whose record has each phase.
    #[serde(default)]
    pub recovery_id: Option<Uuid>,
    /// Whether it came up in safe mode, without recovering.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub safe_mode: bool,
    /// The phases that were tried again, when it was no whole recovery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retried: Vec<String>,
}

impl StartupEntry {
    pub(super) fn of(marker: &Marker, outcome: StartupOutcome) -> StartupEntry {
        StartupEntry {
            startup_id: marker.startup_id.clone(),
            by: Some(marker.by.as_str().to_owned()),
            started_at: Some(marker.started_at),
            ended_at: None,
            outcome,
            phase: marker.phase().map(str::to_owned),
            phases_entered: marker.phases_entered.clone(),
            phases_done: marker.phases_done.clone(),
            duration_ms: None,
            findings_total: 0,
            recovery_id: marker.recovery_id,
            safe_mode: false,
            retried: marker.retried.clone(),
        }
    }

    /// Makes the entry of a startup whose marker was damaged. Its name is made from the bytes; when the
    /// newest entry has that name, it is the same startup, whose marker was not overwritten yet, and counts
    /// once.
    pub(super) fn unreadable(bytes: &[u8], history: &[StartupEntry]) -> StartupEntry {
        let name = format!("unreadable-{:08x}-", crc32fast::hash(bytes));
        let startup_id = match history.last() {
            Some(newest) if newest.startup_id.starts_with(&name) => newest.startup_id.clone(),
            _ => format!("{name}{}", Uuid::now_v7().simple()),
        };
        StartupEntry {
            startup_id,
            by: None,
            started_at: None,
            ended_at: None,
            outcome: StartupOutcome::Aborted,
            phase: None,
            phases_entered: Vec::new(),
            phases_done: Vec::new(),
            duration_ms: None,
            findings_total: 0,
            recovery_id: None,
            safe_mode: false,
            retried: Vec::new(),
        }
    }
}

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StartupCleaning")]
pub struct CleanupEntry {
    /// When.
    pub at: Timestamp,
    /// During which startup.
    pub startup_id: String,
    /// What was done: `remove_temporary_file`, `remove_half_made_workspace`, `cut_torn_tail`, …
    pub action: String,
    /// To what: a path relative to the state directory.
    pub object: String,
    /// `done`, `kept` or `failed`.
    pub result: String,
    /// More about it.
    pub detail: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum StartupRecord {
    /// A startup is over: it ended, or the next one found that it was aborted.
    Startup(StartupEntry),
    /// An act of cleaning.
    Act(CleanupEntry),
    /// No job is started any more, until the next `cleared`.
    SafeMode {
        at: Timestamp,
        /// The startups that were cut short in a row, oldest first.
        because: Vec<String>,
    },
    /// An operator, or a recovery that completed, ended the crash loop.
    Cleared {
        at: Timestamp,
        by: String,
        /// What was given as the reason.
        why: Option<String>,
    },
}
