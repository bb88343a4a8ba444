//! `daemon/daemon.json`: which daemon takes jobs. There from the end of its recovery until it ends; after
//! a crash it may be left, so whoever reads it asks whether the daemon's lock is held.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::durable::{DiskError, is_held, read_optional, replace};
use crate::state::{StateDir, Timestamp};

/// A daemon, as others find it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonInfo {
    /// Its process.
    pub pid: u32,
    /// Where it listens on TCP; `null` when it does not.
    pub address: Option<String>,
    /// Where it listens on a unix socket; `null` when it does not.
    pub socket: Option<PathBuf>,
    /// Since when it takes jobs.
    pub started_at: Timestamp,
}

impl DaemonInfo {
    pub(super) fn write(&self, dir: &StateDir) -> Result<(), DiskError> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        replace(&dir.disk, &dir.paths.daemon_info(), &text)
    }
}

/// The daemon that lives, if one does and is past its recovery.
///
/// # Errors
/// When its file or lock cannot be looked at.
pub fn running_daemon(dir: &StateDir) -> Result<Option<DaemonInfo>, DiskError> {
    match is_held(&dir.paths.daemon_lock()) {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e) => return Err(e),
    }
    let bytes = read_optional(&dir.paths.daemon_info())?;
    Ok(bytes.and_then(|b| serde_json::from_slice(&b).ok()))
}
