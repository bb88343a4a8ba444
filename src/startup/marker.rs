//! `startup/marker.json`: the startup that is under way, or that was when its process died.
//!
//! Written before a phase begins. Only the startup's flock says whether its owner lives. Its time decides one
//! thing only: whether an aborted startup is recent enough to count for a crash loop. One from the future (a
//! clock that went back) counts as recent. A marker of a later version is parsed as far as possible; a copy
//! goes to quarantine.

use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
    /// `retry`.
    Retry,
}

impl StartedBy {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            StartedBy::Daemon => "daemon",
            StartedBy::Recover => "recover",
            StartedBy::Work => "work",
            StartedBy::Retry => "retry",
        }
    }
}

/// A startup and how far it got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// The version of the marker's form.
    pub version: u32,
    /// The id of this startup.
    pub startup_id: String,
    /// What kind of process starts up.
    pub by: StartedBy,
    pub process: ProcessIdentity,
    pub host: Host,
    /// When it began.
    pub started_at: Timestamp,
    /// The phases that were entered and are done, in the order in which they were done.
    pub phases_done: Vec<String>,
    /// The phases that were entered and are not done, in the order in which they were entered.
    pub phases_entered: Vec<String>,
    /// The recovery that runs in it; `None` in markers of earlier versions.
    #[serde(default)]
    pub recovery_id: Option<Uuid>,
    /// The phases that are tried again, when this is not a whole recovery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retried: Vec<String>,
}

impl Marker {
    pub(super) fn new(by: StartedBy, at: Timestamp) -> Marker {
        Marker {
            version: VERSION,
            startup_id: Uuid::now_v7().to_string(),
            by,
            process: ProcessIdentity::this(),
            host: Host::this(),
            started_at: at,
            phases_done: Vec::new(),
            phases_entered: Vec::new(),
            recovery_id: None,
            retried: Vec::new(),
        }
    }

    /// Returns the phase under way: the one that was entered last and is not done.
    pub(crate) fn phase(&self) -> Option<&str> {
        self.phases_entered.last().map(String::as_str)
    }

    pub(super) fn write(&self, dir: &StateDir) -> Result<(), DiskError> {
        let mut text = serde_json::to_vec(self).unwrap_or_default();
        text.push(b'\n');
        replace(&dir.disk, &dir.paths.startup_marker(), &text)
    }
}

/// The result of reading a marker file.
#[derive(Debug)]
pub(super) enum MarkerRead {
    Missing,
    /// The file is damaged; its bytes distinguish it from another damaged marker.
    Damaged {
        why: String,
        bytes: Vec<u8>,
        /// Its readable part: a later version's marker names its startup and phases.
        known: Option<Box<Marker>>,
    },
    Whole(Marker),
}

pub(super) fn read(path: &Path) -> Result<MarkerRead, DiskError> {
    let Some(bytes) = read_optional(path)? else { return Ok(MarkerRead::Missing) };
    let (why, known) = match serde_json::from_slice::<Marker>(&bytes) {
        Ok(marker) if marker.version <= VERSION => return Ok(MarkerRead::Whole(marker)),
        Ok(marker) => {
            let why = format!("its version {} is later than {VERSION}", marker.version);
            (why, Some(Box::new(marker)))
        }
        Err(e) => (format!("it cannot be understood: {e}"), None),
    };
    Ok(MarkerRead::Damaged { why, bytes, known })
}
