//! `state.json`: which layout a state directory has, and which one it is.
//!
//! ```json
//! {"layout":1,"state_id":"0192…","created_at":"2026-03-01T09:30:00.000Z"}
//! ```
//!
//! The id is in the first line of every log segment too, so that it can be found again when this file
//! is lost, and so that files of another state directory cannot pass for ours.

use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::Timestamp;
use super::directory::StateError;
use crate::durable::{Disk, read_optional, replace};

/// The layout that this version writes. A newer one is refused, an older one would be migrated.
pub const LAYOUT_VERSION: u32 = 1;

/// Layout and identity of a state directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Layout version.
    pub layout: u32,
    /// Names this state directory, whatever path it has.
    pub state_id: Uuid,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Identity {
    /// A new one.
    #[must_use]
    pub fn new(at: Timestamp) -> Identity {
        Identity { layout: LAYOUT_VERSION, state_id: Uuid::now_v7(), created_at: at }
    }

    /// Reads it; `None` when there is none.
    ///
    /// # Errors
    /// [`StateError::Damaged`] when it cannot be understood, [`StateError::Newer`] for a later layout.
    pub fn read(path: &Path) -> Result<Option<Identity>, StateError> {
        let bytes = match read_optional(path) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(e) if e.kind() == std::io::ErrorKind::IsADirectory => {
                let source = serde::de::Error::custom("it is a folder");
                return Err(StateError::Damaged { path: path.to_owned(), source });
            }
            Err(e) => return Err(e.into()),
        };
        let identity: Identity = serde_json::from_slice(&bytes)
            .map_err(|source| StateError::Damaged { path: path.to_owned(), source })?;
        if identity.layout > LAYOUT_VERSION {
            return Err(StateError::Newer { path: path.to_owned(), layout: identity.layout });
        }
        Ok(Some(identity))
    }

    /// Writes it durably.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, disk: &Disk, path: &Path) -> Result<(), StateError> {
        let mut text = serde_json::to_vec(self).unwrap_or_default();
        text.push(b'\n');
        Ok(replace(disk, path, &text)?)
    }
}
