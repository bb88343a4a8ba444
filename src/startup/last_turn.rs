//! `daemon/turn`: when the daemon's loop last ran a round, by the clock of this boot. The file is written in
//! place and never synced: it only helps to judge a living daemon. Its reader knows by the daemon's lock that
//! a daemon lives, and by the PID that this daemon wrote it.
//!
//! `{"pid":4711,"boot_ms":86400123}`, padded with spaces to 63 bytes and a line feed.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::durable::{DiskError, DiskFile, read_optional};
use crate::state::StateDir;
use crate::system::since_boot;

/// The shortest time between two writes.
const EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize, Deserialize)]
struct Turn {
    pid: u32,
    boot_ms: u64,
}

/// Records the rounds of the loop.
#[derive(Debug)]
pub struct TurnWriter {
    file: DiskFile,
    last: Mutex<Option<Instant>>,
}

impl TurnWriter {
    /// Opens the file for writing; it is created when missing.
    pub fn open(dir: &StateDir) -> Result<TurnWriter, DiskError> {
        Ok(TurnWriter { file: dir.disk.open_or_create(&dir.paths.daemon_turn())?, last: Mutex::default() })
    }

    /// Notes a round; writes now and then. Errors of the disk are reported by other writers.
    pub fn turned(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        *last = Some(Instant::now());
        let boot_ms = u64::try_from(since_boot().as_millis()).unwrap_or(u64::MAX);
        let text = serde_json::to_string(&Turn { pid: std::process::id(), boot_ms }).unwrap_or_default();
        let _ = self.file.write_at(format!("{text:<63}\n").as_bytes(), 0);
    }
}

/// Returns how long ago the loop of this daemon last ran a round; `None` when the daemon has not written
/// that.
pub(crate) fn last_turn(dir: &StateDir, pid: u32) -> Option<Duration> {
    let text = read_optional(&dir.paths.daemon_turn()).ok()??;
    let turn: Turn = serde_json::from_slice(&text).ok()?;
    (turn.pid == pid).then(|| since_boot().saturating_sub(Duration::from_millis(turn.boot_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::Disk;
    use crate::state::Clock;

    #[test]
    fn last_turn_needs_matching_pid() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        let dir = StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap();
        let own = std::process::id();
        assert_eq!(last_turn(&dir, own), None);
        TurnWriter::open(&dir).unwrap().turned();
        assert!(last_turn(&dir, own).is_some_and(|age| age < Duration::from_secs(60)));
        assert_eq!(last_turn(&dir, own + 1), None);
    }
}
