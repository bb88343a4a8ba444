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
    /// The workspace.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The state directory is no workspace to import.
    #[error("{} is the state directory itself, or one of them lies in the other", path.display())]
    OwnStateDirectory {
        /// What was named.
        path: PathBuf,
    },
    /// Another import runs.
    #[error("cannot import now")]
    Lock(#[from] LockError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A file of the state directory.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A job that cannot be written.
    #[error("cannot write a job as JSON")]
    Json(#[from] serde_json::Error),
    /// An id that cannot be a file name.
    #[error(transparent)]
    Name(#[from] BadName),
}
