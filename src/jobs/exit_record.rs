//! `exit.json`: how an attempt ended. Its supervisor writes it durably after the command and all its descendants
//! are gone, and before the queue's record: so no exit status is lost between two files.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::stored::{Stored, read_stored, write_stored};
use crate::durable::{Disk, DiskError, Survives};
use crate::queue::{AttemptOutcome, Claim, End, EndedBy, JobId};
use crate::state::{StateStamp, Timestamp};
use crate::system::ResourceUse;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Version of this form.
    pub version: u32,
    pub job_id: JobId,
    pub attempt: u32,
    /// The claim that began the attempt.
    pub claim: Claim,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Exit status of the command.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// The signal that ended the command.
    #[serde(default)]
    pub signal: Option<i32>,
    /// More about the end.
    #[serde(default)]
    pub reason: Option<String>,
    /// The cancel or signal that ended the attempt from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<EndedBy>,
    /// Whether the supervisor saw that the command ended by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_itself: bool,
    /// When the command was started; if it never was, when the attempt was begun.
    pub started_at: Timestamp,
    /// When the command ended.
    pub finished_at: Timestamp,
    /// Whether the supervisor saw all descendants gone.
    pub tree_empty: bool,
    /// How many descendants outlived the command and were ended.
    #[serde(default)]
    pub leftovers_ended: u32,
    /// Processor time of the command and all its descendants, in milliseconds.
    #[serde(default)]
    pub cpu_ms: Option<u64>,
    /// The state directory that the attempt was begun for; `None` in records of versions without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateStamp>,
    /// Processor time by user and system, and memory: `cpu_user_ms`, `cpu_system_ms`, `memory_peak_bytes`.
    #[serde(flatten)]
    pub resources: Option<ResourceUse>,
}

impl ExitRecord {
    /// Reads one.
    pub fn read(path: &Path) -> Result<Stored<ExitRecord>, DiskError> {
        read_stored(path)
    }

    /// Writes it, so that it survives a power loss.
    pub fn write(&self, disk: &Disk, path: &Path) -> Result<(), DiskError> {
        write_stored(disk, path, self, Survives::PowerLoss)
    }

    /// Writes it for the moment until the queue's log has the end, which is then acknowledged: it need survive
    /// only a kill of the process that records the end.
    pub(super) fn write_until_recorded(&self, disk: &Disk, path: &Path) -> Result<(), DiskError> {
        write_stored(disk, path, self, Survives::Kill)
    }

    /// The end to record in the queue.
    pub fn to_end(&self) -> End {
        End {
            job: self.job_id.clone(),
            attempt: self.attempt,
            claim: self.claim,
            outcome: self.outcome,
            exit_code: self.exit_code,
            signal: self.signal,
            ended_at: Some(self.finished_at),
            reason: self.reason.clone(),
            after_crash: None,
            started_at: Some(self.started_at),
            ended_by: self.ended_by.clone(),
            by_itself: self.by_itself,
            evidence: Vec::new(),
        }
    }
}
