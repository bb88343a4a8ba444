//! The log of acts on orphans, append-only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::candidate::OrphanKind;
use crate::durable::DiskError;
use crate::durable::log::{Log, LogError, Position, ReadRequest};
use crate::state::{StateDir, Timestamp};
use crate::system::Host;

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OrphanLogEntry")]
pub struct LogEntry {
    /// When.
    pub at: Timestamp,
    /// By which plan.
    pub plan_id: String,
    /// Which candidate.
    pub id: String,
    /// Of which kind.
    pub kind: OrphanKind,
    /// What.
    pub object: String,
    /// `intent`, `removed`, `refused`, `failed`, `restored`, `emptied`.
    pub result: String,
    /// Disk space given back, or moved to the trash, in bytes.
    pub bytes_freed: u64,
    /// More about it.
    pub detail: String,
    /// The evidence that it was an orphan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// Who.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The open log.
pub(super) struct OrphanLog(Log);

impl OrphanLog {
    pub(super) fn open(dir: &StateDir) -> Result<OrphanLog, LogError> {
        let options = dir.log_options(dir.paths.orphans_log(), "orphans", Host::this().boot_id, 1 << 20);
        dir.disk.ensure_dir(&dir.paths.orphans())?;
        dir.disk.ensure_dir(&options.folder)?;
        Log::open(&dir.disk, options).map(OrphanLog)
    }

    /// Appends acts; they are synced when this returns.
    pub(super) fn enter(&self, entries: &[LogEntry]) -> Result<(), LogError> {
        let lines: Vec<Vec<u8>> = entries.iter().map(|e| serde_json::to_vec(e).unwrap_or_default()).collect();
        if lines.is_empty() { Ok(()) } else { self.0.append(&lines).map(drop) }
    }
}

/// Returns every act, oldest first. Changes nothing.
pub(crate) fn entries(dir: &StateDir) -> Result<Vec<LogEntry>, DiskError> {
    let (folder, state_id) = (dir.paths.orphans_log(), dir.identity.state_id.to_string());
    let mut entries = Vec::new();
    if !folder.exists() {
        return Ok(entries);
    }
    let request =
        ReadRequest { folder: &folder, state_id: Some(&state_id), from: Position::default(), until: None };
    crate::durable::log::read(request, |_, line| entries.extend(serde_json::from_slice(line).ok()))?;
    Ok(entries)
}
