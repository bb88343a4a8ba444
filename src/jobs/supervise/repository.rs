//! The seam to the repository locks: a job with a repository holds its lock from start to end.

use crate::queue::{Claim, JobId};
use crate::state::StateDir;

/// Why a job did not get its repository; the claim is given back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct RepositoryRefused {
    /// The holder, or the obstacle.
    pub why: String,
}

/// Gives repositories to jobs.
pub trait RepositoryLocker {
    /// Takes the repository's lock in the name of a job's attempt.
    fn take(
        &self,
        dir: &StateDir,
        request: &RepositoryRequest<'_>,
    ) -> Result<Box<dyn HeldRepository>, RepositoryRefused>;
}

/// A job's request for a repository, with the longest wait.
#[derive(Debug, Clone, Copy)]
pub struct RepositoryRequest<'a> {
    pub repository: &'a str,
    pub job: &'a JobId,
    pub attempt: u32,
    /// The claim that began it.
    pub claim: Claim,
    /// How long to wait.
    pub wait: std::time::Duration,
}

/// A repository that a job holds. Dropping it without giving it back acts like a crash.
pub trait HeldRepository {
    /// The id of the lock.
    fn lock_id(&self) -> &str;

    /// The fencing number: higher than that of every earlier grant of this repository.
    fn token(&self) -> u64;

    /// Gives it back.
    ///
    /// # Errors
    /// A sentence that says why the repository could not be given back; recovery then gives it back.
    fn give_back(self: Box<Self>) -> Result<(), String>;
}
