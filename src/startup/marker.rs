//! `startup/marker.json`: the startup that is under way, or that was when its process died.
//!
//! Written before a phase begins and after it is done. Its times are for people; nothing is decided by
//! them, so that one from the future is as good as any other.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::durable::{DiskError, read_optional, replace};
use crate::state::{StateDir, Timestamp};
use crate::system::{Host, ProcessIdentity};

const VERSION: u32 = 1;

/// What kind of process starts up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartedBy {
    /// `daemon`.
    Daemon,
    /// `recover`.
    Recover,
    /// `work`.
    Work,
}

impl StartedBy {
    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            StartedBy::Daemon => "daemon",
            StartedBy::Recover => "recover",
            StartedBy::Work => "work",
        }
    }
}

/// A startup and how far it got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Of this form.
    pub version: u32,
    /// Names this startup.
    pub startup_id: String,
    /// What kind of process.
    pub by: StartedBy,
    /// Which process.
    pub process: ProcessIdentity,
    /// Where.
    pub host: Host,
    /// When it began.
    pub started_at: Timestamp,
    /// The phases that were entered and are done, in the order in which they were done.
    pub phases_done: Vec<String>,
    /// The phases that were entered and are not done, in the order in which they were entered.
    pub phases_entered: Vec<String>,
}

impl Marker {
    pub(super) fn new(by: StartedBy, at: Timestamp) -> Marker {
        Marker {
            version: VERSION,
            startup_id: uuid::Uuid::now_v7().to_string(),
            by,
            process: ProcessIdentity::this(),
            host: Host::this(),
            started_at: at,
            phases_done: Vec::new(),
            phases_entered: Vec::new(),
        }
    }

    /// The phase under way: the one entered last that is not done.
    #[must_use]
    pub fn phase(&self) -> Option<&str> {
        self.phases_entered.last().map(String::as_str)
    }

    pub(super) fn write(&self, dir: &StateDir) -> Result<(), DiskError> {
        let mut text = serde_json::to_vec(self).unwrap_or_default();
        text.push(b'\n');
        replace(&dir.disk, &dir.paths.startup_marker(), &text)
    }
}

/// What could be learnt from a marker file.
#[derive(Debug)]
pub(super) enum MarkerRead {
    Missing,
    /// Its bytes tell it from another damaged one.
    Damaged {
        why: String,
        bytes: Vec<u8>,
    },
    Whole(Marker),
}

pub(super) fn read(path: &Path) -> Result<MarkerRead, DiskError> {
    let Some(bytes) = read_optional(path)? else { return Ok(MarkerRead::Missing) };
    let why = match serde_json::from_slice::<Marker>(&bytes) {
        Ok(marker) if marker.version <= VERSION => return Ok(MarkerRead::Whole(marker)),
        Ok(marker) => format!("its version {} is later than {VERSION}", marker.version),
        Err(e) => format!("it cannot be understood: {e}"),
    };
    Ok(MarkerRead::Damaged { why, bytes })
}
