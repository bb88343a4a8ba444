//! Why a workspace is not taken over.

use std::path::PathBuf;

use super::scan::ScanError;
use crate::durable::{DiskError, LockError};
use crate::queue::QueueError;
use crate::state::names::BadName;

/// Why a workspace was not taken over. Nothing is in the queue then that was not before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The workspace could not be read.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The given path is this state directory, which is no workspace to import.
    #[error("{} is the state directory itself, or one of them lies in the other", path.display())]
    OwnStateDirectory {
        /// The given path.
        path: PathBuf,
    },
    /// Another import runs.
    #[error("cannot import now")]
    Lock(#[from] LockError),
    /// The queue could not be read or changed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A file of the state directory could not be written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A job cannot be written as JSON.
    #[error("cannot write a job as JSON")]
    Json(#[from] serde_json::Error),
    /// An id that cannot be a file name.
    #[error(transparent)]
    Name(#[from] BadName),
}
