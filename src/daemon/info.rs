//! `daemon/daemon.json`: the daemon that takes jobs, or is up in safe mode and takes none. Present from the
//! end of its recovery until it ends, and before that, with `ready` false, when its recovery takes long, so
//! that it can be watched over HTTP. After a crash it remains until the next daemon begins, so its readers
//! check whether the daemon's lock is held.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::durable::{DiskError, holder_of, is_held, read_optional, replace};
use crate::state::{StateDir, Timestamp};

/// What others know of a daemon.
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
    /// Whether it is up in safe mode: it has not recovered, and starts no job.
    #[serde(default)]
    pub safe_mode: bool,
    /// False while it recovers.
    #[serde(default = "yes")]
    pub ready: bool,
    /// How often its loop panicked and was begun again.
    #[serde(default)]
    pub loop_restarts: u32,
}

/// The default of `ready`: earlier versions, without this member, wrote the file only when the recovery was
/// over.
fn yes() -> bool {
    true
}

impl DaemonInfo {
    pub(super) fn write(&self, dir: &StateDir) -> Result<(), DiskError> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        replace(&dir.disk, &dir.paths.daemon_info(), &text)
    }

    /// Removes the file, if it exists.
    pub(super) fn remove(dir: &StateDir) -> Result<(), DiskError> {
        match dir.disk.remove_file(&dir.paths.daemon_info()) {
            Err(e) if !e.is_not_found() => Err(e),
            _ => Ok(()),
        }
    }
}

/// Returns the living daemon, if there is one past its recovery.
///
/// # Errors
/// Its file or lock cannot be read.
pub fn running_daemon(dir: &StateDir) -> Result<Option<DaemonInfo>, DiskError> {
    Ok(known_daemon(dir)?.filter(|daemon| daemon.ready))
}

/// Returns the living daemon, if it can be found, also while it recovers.
pub fn known_daemon(dir: &StateDir) -> Result<Option<DaemonInfo>, DiskError> {
    match is_held(&dir.paths.daemon_lock()) {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e) => return Err(e),
    }
    let bytes = read_optional(&dir.paths.daemon_info())?;
    Ok(bytes.and_then(|b| serde_json::from_slice(&b).ok().or_else(|| named_by_lock(dir))))
}

/// Returns the essentials from the lock file, when the daemon's file is damaged.
fn named_by_lock(dir: &StateDir) -> Option<DaemonInfo> {
    let holder = holder_of(&dir.paths.daemon_lock())?;
    let started_at = holder.since.parse().unwrap_or_default();
    let (address, socket, safe_mode, ready, loop_restarts) = (None, None, false, true, 0);
    Some(DaemonInfo { pid: holder.pid, address, socket, started_at, safe_mode, ready, loop_restarts })
}
