//! The log of what was cleaned after crashes: temporary files, half-made workspaces, torn tails, half-written
//! snapshots, a migrated layout.

use super::log::StartupLog;
use super::record::CleanupEntry;
use crate::durable::DiskError;
use crate::state::StateDir;

/// The acts that the log still has, oldest first.
///
/// # Errors
/// The system's error when the log exists and cannot be read; a damaged record costs itself.
pub fn cleanup_log(dir: &StateDir) -> Result<Vec<CleanupEntry>, DiskError> {
    Ok(StartupLog::read(dir)?.acts().cloned().collect())
}
