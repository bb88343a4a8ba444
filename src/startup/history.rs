//! Past startups, newest last, each once.

use super::log::StartupLog;
use super::record::{StartupEntry, StartupOutcome};
use crate::durable::DiskError;
use crate::state::StateDir;

/// The past startups, oldest first, without the one under way.
///
/// # Errors
/// The system's error when the log exists and cannot be read; a damaged record costs itself.
pub fn history(dir: &StateDir) -> Result<Vec<StartupEntry>, DiskError> {
    Ok(StartupLog::read(dir)?.startups().cloned().collect())
}

/// Returns how many of the last startups were aborted in a row. A startup in safe mode, which does not
/// recover, does not break the row.
pub fn consecutive_aborts(history: &[StartupEntry]) -> usize {
    let tried = history.iter().rev().filter(|e| !e.safe_mode);
    tried.take_while(|e| e.outcome == StartupOutcome::Aborted).count()
}
