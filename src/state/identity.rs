//! `state.json`: the layout and the id of a state directory.
//!
//! ```json
//! {"layout":3,"state_id":"0192…","created_at":"2026-03-01T09:30:00.000Z","incarnation":1}
//! ```
//!
//! The id is in the first line of every log segment too, so that it can be recovered when this file is lost,
//! and so that files of another state directory cannot pass for ours.

use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::StateError;
use super::layout::{ATTEMPTS_APART, LAYOUT_VERSION};
use crate::durable::{Disk, read_optional, replace};
use crate::system::clock::Timestamp;

/// Layout and identity of a state directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Layout version.
    pub layout: u32,
    /// Names this state directory, whatever path it has.
    pub state_id: Uuid,
    /// When it was made.
    pub created_at: Timestamp,
    /// The incarnation: 1 at first. A directory that went back in time gets a later one, so that nothing from
    /// the lost time passes for its own. In seconds since 1970, see [`super::folder_id`].
    #[serde(default = "first_incarnation")]
    pub incarnation: u64,
    /// Whether some jobs may still have the server's files about their attempts in their workspaces.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moving_attempts: bool,
}

/// The incarnation of a new state directory, and of one that a version without incarnations made.
fn first_incarnation() -> u64 {
    1
}

impl Identity {
    /// The identity of a new state directory.
    pub(crate) fn new(at: Timestamp) -> Identity {
        Identity {
            layout: LAYOUT_VERSION,
            state_id: Uuid::now_v7(),
            created_at: at,
            incarnation: first_incarnation(),
            moving_attempts: false,
        }
    }

    /// The same identity with this version's layout, with the files that an earlier layout had elsewhere still to
    /// be moved.
    pub(super) fn raised(self) -> Identity {
        Identity { layout: LAYOUT_VERSION, moving_attempts: self.may_have_attempts_in_workspaces(), ..self }
    }

    /// Whether a job may have the server's files about its attempts in its workspace.
    pub(crate) fn may_have_attempts_in_workspaces(&self) -> bool {
        self.layout < ATTEMPTS_APART || self.moving_attempts
    }

    /// Reads it; `None` when there is none.
    ///
    /// # Errors
    /// [`StateError::Damaged`] when it cannot be parsed, [`StateError::Newer`] for a later layout.
    pub(crate) fn read(path: &Path) -> Result<Option<Identity>, StateError> {
        #[derive(Deserialize)]
        struct Form {
            layout: u32,
        }
        let bytes = match read_optional(path) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(e) if e.kind() == std::io::ErrorKind::IsADirectory => {
                let source = serde::de::Error::custom("it is a folder");
                return Err(StateError::Damaged { path: path.to_owned(), source });
            }
            Err(e) => return Err(e.into()),
        };
        let damaged = |source| StateError::Damaged { path: path.to_owned(), source };
        // The layout is read first: a later one need not have the members that this version knows, and must not
        // be taken for a damaged one, which would be written anew.
        let Form { layout } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if layout > LAYOUT_VERSION {
            return Err(StateError::Newer { path: path.to_owned(), layout });
        }
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// Writes it durably.
    pub(crate) fn write(&self, disk: &Disk, path: &Path) -> Result<(), StateError> {
        let mut text = serde_json::to_vec(self).unwrap_or_default();
        text.push(b'\n');
        Ok(replace(disk, path, &text)?)
    }
}
