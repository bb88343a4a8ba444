//! Why a startup cannot begin or go on.

use crate::durable::log::LogError;
use crate::durable::{DiskError, LockError};
use crate::state::StateError;

/// Why a startup could not begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartupError {
    /// Another process is starting up, or recovering, in this state directory.
    #[error("another startup is under way: {0}")]
    Running(#[source] LockError),
    /// The system's error.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The startup log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The startup has ended; an abandoned phase came too late.
    #[error("the startup is over")]
    Over,
    /// The layout cannot be brought up to date.
    #[error(transparent)]
    State(#[from] StateError),
}

impl StartupError {
    /// Returns the disk's error behind this one, if reading is still possible.
    pub(crate) fn refused_change(&self) -> Option<&DiskError> {
        let disk = match self {
            StartupError::Disk(e)
            | StartupError::Running(LockError::Disk(e))
            | StartupError::Log(LogError::Disk(e) | LogError::Lock(LockError::Disk(e)))
            | StartupError::State(StateError::Disk(e) | StateError::Lock(LockError::Disk(e))) => e,
            _ => return None,
        };
        Some(disk).filter(|e| e.is_refused_change())
    }

    /// The error and the disk's reason in one line, for people.
    pub(crate) fn in_one_line(&self) -> String {
        match self.refused_change() {
            Some(refused) => format!("{refused}: {}", refused.source),
            None => self.to_string(),
        }
    }
}
