//! The log of acts of cleaning after a crash: temporary files, half-made workspaces, torn tails, half-written
//! snapshots, a migrated layout.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::log::StartupLog;
use crate::durable::DiskError;
use crate::state::{StateDir, Timestamp};

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

/// The acts that the log still has, oldest first.
///
/// # Errors
/// The system's error when the log exists and cannot be read; a damaged record costs itself.
pub fn cleanup_log(dir: &StateDir) -> Result<Vec<CleanupEntry>, DiskError> {
    Ok(StartupLog::read(dir)?.acts().cloned().collect())
}
