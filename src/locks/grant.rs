//! Taking a repository's lock and giving it back.
//!
//! Order of a grant: take the flock; judge what the metadata says; write the fencing number and the grant
//! into the lock file and sync it; replace the metadata durably; only then is the lock granted. Order of giving
//! back: metadata released durably, then the flock. Killed anywhere in between, the lock is either live
//! (flock held), or judged by what the metadata last said.
//!
//! Dropping a [`LockGrant`] without [`LockGrant::release`] is what a crash does: the flock is free and
//! the metadata still says held.

use std::time::Duration;

use super::acquire::QueuedJobs;
use super::fencing;
use super::held_by::HeldBy;
use super::metadata::{LockHolder, LockMetadata, LockState, MetadataRead, read_metadata, writing};
use super::verdict::JobLivenessOf;
use crate::durable::{DiskError, FileLock, LockError};
use crate::state::names::BadName;
use crate::state::{LockPaths, StateDir};

/// Who asks for a lock, and for what.
pub struct LockRequest<'a> {
    /// Whose lock it is to be.
    pub holder: LockHolder,
    /// For what: `job`, or a command line.
    pub operation: String,
    /// Says whether the job that a former grant belongs to is alive.
    pub job_liveness: &'a JobLivenessOf<'a>,
    /// The queued jobs that a process stands in one line with.
    pub queue: Option<&'a dyn QueuedJobs>,
    /// Called once, when it has to be waited, with whom is waited for.
    pub waiting: &'a dyn Fn(&HeldBy),
}

/// Why a lock was not granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockRefused {
    /// A living owner has it.
    #[error("the lock of repository '{}' is held by {by} (waited {:.1} s)", by.repository, waited.as_secs_f64())]
    Held {
        /// Who.
        by: Box<HeldBy>,
        /// How long was waited.
        waited: Duration,
    },
    /// Whether somebody has it cannot be said; an operator decides.
    #[error("the lock of repository '{repository}' is unavailable: {why}")]
    Unavailable {
        /// Which repository.
        repository: String,
        /// What stands against a verdict.
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

/// Why a lock could not be given back in order. It is free all the same once the process is gone, or
/// judged stale.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GiveBackError {
    /// The metadata tells of another grant: somebody edited it.
    #[error("the lock of repository '{repository}' bears another id, {found}, instead of {ours}")]
    Foreign {
        /// Which repository.
        repository: String,
        /// Our grant.
        ours: String,
        /// What the metadata says.
        found: String,
    },
    /// The metadata could not be replaced.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Another process keeps replacing the metadata.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// The right to work on a repository, until it is given back or this process is gone.
#[derive(Debug)]
#[must_use = "dropping it is a crash: give it back with release()"]
pub struct LockGrant {
    /// Names this grant.
    pub lock_id: String,
    /// Its fencing number: higher than that of every grant before.
    pub token: u64,
    metadata: LockMetadata,
    paths: LockPaths,
    dir: StateDir,
    flock: FileLock,
}

impl LockGrant {
    /// Which repository.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.metadata.repository
    }

    /// Whether this grant took over what a dead holder had left.
    #[must_use]
    pub fn took_over(&self) -> bool {
        self.metadata.recovered
    }

    /// Gives it back: the metadata says so durably before the flock is free.
    ///
    /// # Errors
    /// See [`GiveBackError`]; the flock is free then too, and the metadata still says held.
    pub fn release(self) -> Result<(), GiveBackError> {
        // The directory may have been moved since, and another one may have its path.
        let dir = self.dir.followed().unwrap_or_else(|| self.dir.clone());
        let paths = dir.paths.lock(self.repository()).unwrap_or_else(|_| self.paths.clone());
        let _writing = writing(&dir.disk, &paths)?;
        let mut token = self.token;
        if let MetadataRead::Whole(found) = read_metadata(&paths.metadata, self.repository()) {
            if found.lock_id != self.lock_id {
                let repository = self.repository().to_owned();
                let (ours, found) = (self.lock_id, found.lock_id);
                return Err(GiveBackError::Foreign { repository, ours, found });
            }
            if found.state == LockState::Released {
                return Ok(()); // Somebody forced it; that note is to stay.
            }
            // A repair may have raised it above all that can have been granted: it never falls.
            token = token.max(found.token);
        }
        let mut metadata = self.metadata.given_back(self.dir.clock.now());
        metadata.token = token;
        metadata.write(&dir.disk, &paths.metadata)?;
        drop(self.flock);
        Ok(())
    }
}

/// A grant that is being written, with the flock held.
pub(super) struct Granting<'a> {
    pub(super) dir: &'a StateDir,
    pub(super) repository: &'a str,
    pub(super) paths: &'a LockPaths,
    pub(super) request: &'a LockRequest<'a>,
}

impl Granting<'_> {
    pub(super) fn write(
        &self,
        flock: FileLock,
        old: &MetadataRead,
        taken_over: bool,
    ) -> Result<LockGrant, LockRefused> {
        let now = self.dir.clock.now();
        let _writing = writing(&self.dir.disk, self.paths).map_err(|e| self.writer_stuck(e))?;
        let last = fencing::last(fencing::read(flock.file())?, old, now);
        let token = last.max(self.dir.fencing_floor()).saturating_add(1);
        let (holder, operation) = (self.request.holder.clone(), self.request.operation.clone());
        let mut metadata = LockMetadata::of_this_process(self.repository, token, holder, operation, now);
        metadata.recovered = taken_over;
        metadata.state_directory = Some(self.dir.stamp());
        fencing::write(flock.file(), &metadata)?;
        metadata.write(&self.dir.disk, &self.paths.metadata)?;
        Ok(LockGrant {
            lock_id: metadata.lock_id.clone(),
            token,
            metadata,
            paths: self.paths.clone(),
            dir: self.dir.clone(),
            flock,
        })
    }

    fn writer_stuck(&self, e: LockError) -> LockRefused {
        match e {
            LockError::Disk(e) => LockRefused::Disk(e),
            LockError::Held { .. } => LockRefused::Unavailable {
                repository: self.repository.to_owned(),
                why: e.to_string(),
                evidence: Vec::new(),
            },
        }
    }
}
