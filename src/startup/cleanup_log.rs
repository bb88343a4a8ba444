//! `startup/cleanup-log.json`: every act of cleaning after a crash, newest last, at most 1000.

use serde::{Deserialize, Serialize};

use super::stored;
use crate::durable::DiskError;
use crate::state::{StateDir, Timestamp};

const MOST: usize = 1000;

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupEntry {
    /// When.
    pub at: Timestamp,
    /// During which startup.
    pub startup_id: String,
    /// What was done: `remove_temporary_file`, `report_half_made_workspace`, …
    pub action: String,
    /// To what: a path relative to the state directory.
    pub object: String,
    /// `done`, `kept` or `failed`.
    pub result: String,
    /// More about it.
    pub detail: String,
}

/// The acts that are remembered, oldest first.
///
/// # Errors
/// When the file is there and cannot be opened. One that is damaged gives no entries; the next act moves
/// it to quarantine.
pub fn cleanup_log(dir: &StateDir) -> Result<Vec<CleanupEntry>, DiskError> {
    Ok(stored::read(&dir.paths.startup_cleanup_log())?.unwrap_or_default())
}

/// Adds acts. The caller holds the startup lock.
pub(super) fn add(dir: &StateDir, acts: &[CleanupEntry]) -> Result<(), DiskError> {
    if acts.is_empty() {
        return Ok(());
    }
    let path = dir.paths.startup_cleanup_log();
    let mut entries: Vec<CleanupEntry> = stored::read_to_change(dir, &path)?;
    entries.extend_from_slice(acts);
    stored::write(dir, &path, &entries, MOST)
}
