//! `daemon/starts.json`: no job is started, because the host cannot start any. Written by the scheduler when its
//! circuit opens, removed when it closes or the scheduler ends. One that a killed scheduler left counts no more:
//! whoever reads it asks whether somebody starts jobs.
//!
//! `{"version":1,"since":"2026-03-01T09:30:00.000Z","reason":"cannot start …: …"}`

use serde::{Deserialize, Serialize};

use super::stored::{DOCUMENT_VERSION, Stored, read_stored, write_stored};
use crate::durable::{DiskError, is_held};
use crate::state::{StateDir, Timestamp};

/// Why no job is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartsHeld {
    version: u32,
    /// Since when.
    pub since: Timestamp,
    /// What failed, and what the system said.
    pub reason: String,
}

impl StartsHeld {
    /// Since now.
    #[must_use]
    pub(crate) fn now(dir: &StateDir, reason: String) -> StartsHeld {
        StartsHeld { version: DOCUMENT_VERSION, since: dir.clock.now(), reason }
    }

    pub(crate) fn write(&self, dir: &StateDir) -> Result<(), DiskError> {
        write_stored(&dir.disk, &dir.paths.starts_held(), self)
    }

    pub(crate) fn remove(dir: &StateDir) -> Result<(), DiskError> {
        match dir.disk.remove_file(&dir.paths.starts_held()) {
            Err(e) if !e.is_not_found() => Err(e),
            _ => Ok(()),
        }
    }
}

/// Why no job is started, when a scheduler lives that says so.
#[must_use]
pub fn starts_held(dir: &StateDir) -> Option<StartsHeld> {
    let Ok(Stored::Whole(held)) = read_stored(&dir.paths.starts_held()) else { return None };
    is_held(&dir.paths.scheduling_lock()).is_ok_and(|is_held| is_held).then_some(held)
}
