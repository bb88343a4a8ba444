//! Grants repositories to jobs: the connection between the modules of jobs and of locks.

use crate::jobs::{HeldRepository, RepositoryLocker, RepositoryRefused, RepositoryRequest};
use crate::locks::{LockGrant, acquire_for_job};
use crate::state::StateDir;

/// The locks of a state directory, as a supervisor sees them.
#[derive(Debug, Clone, Copy)]
pub struct JobLocker;

impl RepositoryLocker for JobLocker {
    fn take(
        &self,
        dir: &StateDir,
        request: &RepositoryRequest<'_>,
    ) -> Result<Box<dyn HeldRepository>, RepositoryRefused> {
        let RepositoryRequest { repository, job, attempt, claim, wait } = *request;
        match acquire_for_job(dir, repository, job, attempt, claim, wait) {
            Ok(grant) => Ok(Box::new(Held(grant))),
            Err(refused) => Err(RepositoryRefused { why: refused.to_string() }),
        }
    }
}

struct Held(LockGrant);

impl HeldRepository for Held {
    fn lock_id(&self) -> &str {
        &self.0.lock_id
    }

    fn token(&self) -> u64 {
        self.0.token.get()
    }

    fn give_back(self: Box<Self>) -> Result<(), String> {
        self.0.release().map_err(|e| e.to_string())
    }
}
