//! The log of completed cleanups: an entry here makes a cleanup final.

use serde::{Deserialize, Serialize};

use super::record::CleanupRecord;
use crate::durable::DiskError;
use crate::durable::log::{Log, LogError, LogOptions, Position, ReadRequest};
use crate::state::{StateDir, Timestamp};
use crate::system::Host;

/// A cleanup that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    pub completed_at: Timestamp,
    /// Its last progress file.
    pub cleanup: CleanupRecord,
}

fn options(dir: &StateDir) -> LogOptions {
    dir.log_options(dir.paths.cleanup_completed(), "cleanup", Host::this().boot_id, 1 << 20)
}

/// Enters a cleanup that is over; it is synced when this returns.
pub(super) fn enter(dir: &StateDir, cleanup: &CleanupRecord) -> Result<(), LogError> {
    dir.disk.ensure_dir(&dir.paths.cleanup())?;
    dir.disk.ensure_dir(&dir.paths.cleanup_completed())?;
    let completed = Completed { completed_at: dir.clock.now(), cleanup: cleanup.clone() };
    let line = serde_json::to_vec(&completed).unwrap_or_default();
    Log::open(&dir.disk, options(dir))?.append(&[line]).map(drop)
}

/// The completed cleanups, oldest first, each once. Changes nothing.
///
/// # Errors
/// The system's error. A damaged record costs itself: its cleanup is then done again and finds nothing left.
pub fn completed(dir: &StateDir) -> Result<Vec<Completed>, DiskError> {
    let folder = dir.paths.cleanup_completed();
    let mut found: Vec<Completed> = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    let state_id = dir.identity.state_id.to_string();
    let request =
        ReadRequest { folder: &folder, state_id: Some(&state_id), from: Position::default(), until: None };
    let mut known = std::collections::HashSet::new();
    crate::durable::log::read(request, |_, line| {
        // The repair of the log, not this list, reports an entry that cannot be read.
        let entry = serde_json::from_slice(line).ok();
        found.extend(entry.filter(|c: &Completed| known.insert(c.cleanup.cleanup_id.clone())));
    })?;
    Ok(found)
}
