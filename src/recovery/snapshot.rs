//! The progress of a recovery, as it is shown and as it is in `recovery/current.json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::phase_outcome::DegradedResource;
use crate::findings::Finding;
use crate::state::Timestamp;
use crate::system::Host;

/// Where a phase stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PhaseStatus {
    /// Not begun.
    Pending,
    /// At work, or waiting for its next try.
    Running,
    /// Done, all well.
    Succeeded,
    /// Done, but some resources are unusable.
    Degraded,
    /// Not done after all tries, or cancelled in the middle.
    Failed,
    /// Passed over on request.
    Skipped,
    /// Not begun, and will not: a critical phase failed, or the recovery was cancelled.
    Blocked,
}

impl PhaseStatus {
    /// Whether nothing more happens to the phase in this recovery.
    pub fn is_over(self) -> bool {
        !matches!(self, PhaseStatus::Pending | PhaseStatus::Running)
    }

    /// Returns its word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            PhaseStatus::Pending => "pending",
            PhaseStatus::Running => "running",
            PhaseStatus::Succeeded => "succeeded",
            PhaseStatus::Degraded => "degraded",
            PhaseStatus::Failed => "failed",
            PhaseStatus::Skipped => "skipped",
            PhaseStatus::Blocked => "blocked",
        }
    }
}

/// How a recovery stands or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryOutcome {
    /// Not over.
    Running,
    /// Every phase succeeded, or was skipped and is not critical.
    Completed,
    /// Over, but named resources are unusable, or a critical phase was skipped.
    Degraded,
    /// A critical phase failed.
    Failed,
    /// Somebody ended it.
    Cancelled,
    /// Its process is gone and left it unfinished.
    Aborted,
}

impl RecoveryOutcome {
    /// Returns its word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            RecoveryOutcome::Running => "running",
            RecoveryOutcome::Completed => "completed",
            RecoveryOutcome::Degraded => "degraded",
            RecoveryOutcome::Failed => "failed",
            RecoveryOutcome::Cancelled => "cancelled",
            RecoveryOutcome::Aborted => "aborted",
        }
    }
}

/// One phase in a [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseProgress {
    /// Its name.
    pub phase: String,
    /// What it waits for.
    pub depends_on: Vec<String>,
    /// Whether the sequence stops when it fails.
    pub critical: bool,
    /// Where it stands.
    pub status: PhaseStatus,
    /// Items done in the present try.
    pub done: u64,
    /// Items in all; `None` when not known.
    pub total: Option<u64>,
    /// What an item is.
    pub unit: String,
    /// Tries begun.
    pub attempts: u32,
    /// When the first try began.
    pub started_at: Option<Timestamp>,
    /// Since then, until it was over.
    pub duration_ms: u64,
    /// What it does, or why it ended as it did.
    pub message: Option<String>,
    /// What it found in the present try; the newest only while the recovery runs.
    pub findings: Vec<Finding>,
    /// How many findings there are in all.
    #[serde(default)]
    pub findings_total: u64,
    /// What is unusable because of it.
    #[serde(default)]
    pub degraded_resources: Vec<DegradedResource>,
    /// How long the rest of it takes, estimated: as long an item as on the average of this try so far. `None`
    /// when it is over, has done nothing yet, or does not know its total.
    #[serde(default)]
    pub remaining_ms: Option<u64>,
    /// Not run this time: how it ended in the recovery before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub carried_over: bool,
}

/// A recovery at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// Names the run; sorts by time.
    pub recovery_id: Uuid,
    /// How it stands.
    pub outcome: RecoveryOutcome,
    /// What runs it: "recover", "daemon".
    pub purpose: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// Since it began, by a clock that does not jump.
    pub duration_ms: u64,
    /// Phases that are over.
    pub phases_done: u32,
    /// All phases.
    pub phases_total: u32,
    /// The process that runs it.
    pub pid: u32,
    /// When that process started, in clock ticks since boot.
    pub process_start_time: u64,
    /// Where that process runs.
    pub host: Host,
    /// The phases, in their order.
    pub phases: Vec<PhaseProgress>,
    /// What was found about the run itself, not by a phase.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// The phases that were asked for, when it is not the whole sequence: they and what waits for them run,
    /// the others are carried over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
}

impl Snapshot {
    /// Returns everything that is unusable, phase by phase.
    pub fn degraded_resources(&self) -> impl Iterator<Item = &DegradedResource> {
        self.phases.iter().flat_map(|p| &p.degraded_resources)
    }

    /// Returns every finding: the run's own first, then phase by phase.
    pub fn all_findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().chain(self.phases.iter().flat_map(|p| &p.findings))
    }

    /// Returns a phase by its name.
    pub fn phase(&self, name: &str) -> Option<&PhaseProgress> {
        self.phases.iter().find(|p| p.phase == name)
    }
}
