//! A request for the lock of a repository, and why it is refused.

use std::time::Duration;

use super::held_by::HeldBy;
use super::metadata::LockHolder;
use super::verdict::JobLivenessOf;
use crate::durable::DiskError;
use crate::queue::JobId;
use crate::state::names::BadName;

/// A request for a lock.
pub struct LockRequest<'a> {
    pub holder: LockHolder,
    /// What the holder is going to do: `job`, or a command line.
    pub operation: String,
    /// Says whether the job that a former grant belongs to is alive.
    pub job_liveness: &'a JobLivenessOf<'a>,
    /// The queued jobs that wait in the same line as this process.
    pub queue: Option<&'a dyn QueuedJobs>,
    /// Called once when the request has to wait, with the holder that it waits for.
    pub waiting: &'a dyn Fn(&HeldBy),
}

/// Why a lock was not granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockRefused {
    /// A living holder has the lock.
    #[error("the lock of repository '{}' is held by {by} (waited {:.1} s)", by.repository, waited.as_secs_f64())]
    Held {
        by: Box<HeldBy>,
        /// The time spent waiting.
        waited: Duration,
    },
    /// The caller runs inside of the lock's holder.
    #[error(
        "the lock of repository '{repository}' is held by {holder}, and this command runs inside it: it would \
         wait for itself"
    )]
    HeldByCaller {
        repository: String,
        /// The holder, in words.
        holder: String,
    },
    /// Whether the lock is held cannot be told; an operator decides.
    #[error("the lock of repository '{repository}' is unavailable: {why}")]
    Unavailable {
        repository: String,
        /// Why no verdict is possible.
        why: String,
        /// What is known.
        evidence: Vec<String>,
    },
    /// The repository's name cannot become a file name.
    #[error("that cannot be the name of a repository")]
    BadName(#[from] BadName),
    /// The system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The queued jobs in the same line.
pub trait QueuedJobs {
    /// The last record of the queue's log.
    fn end(&self) -> u64;

    /// A job that gets the repository before a ticket drawn after that record, provided that a scheduler exists
    /// to start it. Called before the lock is examined, and again while its flock is held: a job that had the
    /// repository at the first call may be over by the second, so that the next job's turn has come.
    fn ahead(&self, repository: &str, behind: u64) -> Option<JobId>;
}
