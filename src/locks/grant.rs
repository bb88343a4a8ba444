//! Taking a repository's lock and giving it back.
//!
//! Order of a grant: take the flock; judge what the metadata says; write the fencing number into the
//! lock file and sync it; replace the metadata durably; only then is the lock granted. Order of giving
//! back: metadata released durably, then the flock. Killed anywhere in between, the lock is either live
//! (flock held), or judged by what the metadata last said.
//!
//! Dropping a [`LockGrant`] without [`LockGrant::release`] is what a crash does: the flock is free and
//! the metadata still says held.

use std::time::{Duration, Instant};

use super::fencing;
use super::look::Look;
use super::metadata::{
    LockHolder, LockMetadata, LockState, METADATA_VERSION, MetadataRead, read_metadata, writing,
};
use super::verdict::{Flock, JobLiveness, JobLivenessOf, Judgement, LockVerdict};
use crate::durable::{DiskError, FileLock, LockError};
use crate::queue::JobId;
use crate::state::names::BadName;
use crate::state::{LockPaths, StateDir, Timestamp};
use crate::system::{Host, ProcessIdentity};

/// Somebody who merely looks holds the flock for less than this.
pub(super) const LOOK_GRACE: Duration = Duration::from_millis(20);
/// The longest pause between two looks at a lock whose flock is free but whose holder lives.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Who asks for a lock, and for what.
pub struct LockRequest<'a> {
    /// Whose lock it is to be.
    pub holder: LockHolder,
    /// For what: `job`, or a command line.
    pub operation: String,
    /// Says whether the job that a former grant belongs to is alive.
    pub job_liveness: &'a JobLivenessOf<'a>,
    /// Called once, when it has to be waited, with whom is waited for.
    pub waiting: &'a dyn Fn(&HeldBy),
}

/// Who has a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBy {
    /// Which repository.
    pub repository: String,
    /// Whose it is, in words.
    pub holder: String,
    /// The job that it belongs to.
    pub job_id: Option<JobId>,
    /// The process that took it.
    pub pid: Option<u32>,
    /// Which grant.
    pub lock_id: Option<String>,
    /// For what.
    pub operation: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// What says that it is alive.
    pub evidence: Vec<String>,
}

impl HeldBy {
    pub(super) fn new(repository: &str, metadata: &MetadataRead, evidence: Vec<String>) -> HeldBy {
        // The metadata of a lock that its holder gave back tells nothing about who has the flock now.
        let forced = |m: &LockMetadata| m.released_by.as_ref().is_some_and(|note| note.forced);
        let known = metadata.whole().filter(|m| m.state != LockState::Released || forced(m));
        HeldBy {
            repository: repository.to_owned(),
            holder: known.map_or_else(|| "a process not named yet".to_owned(), LockMetadata::holder_text),
            job_id: known.and_then(LockMetadata::job_id).cloned(),
            pid: known.map(|m| m.process.pid),
            lock_id: known.map(|m| m.lock_id.clone()),
            operation: known.map(|m| m.operation.clone()),
            since: known.map(|m| m.acquired_at),
            evidence,
        }
    }
}

impl std::fmt::Display for HeldBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.holder)?;
        self.since.map_or(Ok(()), |since| write!(f, " since {since}"))
    }
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
        let _writing = writing(&self.dir.disk, &self.paths)?;
        if let MetadataRead::Whole(found) = read_metadata(&self.paths.metadata, self.repository()) {
            if found.lock_id != self.lock_id {
                let repository = self.repository().to_owned();
                let (ours, found) = (self.lock_id, found.lock_id);
                return Err(GiveBackError::Foreign { repository, ours, found });
            }
            if found.state == LockState::Released {
                return Ok(()); // Somebody forced it; that note is to stay.
            }
        }
        let mut metadata = self.metadata.clone();
        metadata.state = LockState::Released;
        metadata.released_at = Some(self.dir.clock.now());
        metadata.write(&self.dir.disk, &self.paths.metadata)?;
        drop(self.flock);
        Ok(())
    }
}

/// Takes a repository's lock if it is free now.
///
/// # Errors
/// See [`LockRefused`].
pub fn try_acquire(
    dir: &StateDir,
    repository: &str,
    request: &LockRequest<'_>,
) -> Result<LockGrant, LockRefused> {
    acquire(dir, repository, request, Duration::ZERO)
}

/// Takes a repository's lock, waiting at most `wait` for a living owner to give it back.
///
/// # Errors
/// [`LockRefused::Held`] with the owner after the wait; [`LockRefused::Unavailable`] at once.
pub fn acquire(
    dir: &StateDir,
    repository: &str,
    request: &LockRequest<'_>,
    wait: Duration,
) -> Result<LockGrant, LockRefused> {
    let paths = dir.paths.lock(repository)?;
    if !dir.paths.locks().is_dir() {
        dir.disk.ensure_dir(&dir.paths.locks())?;
    }
    let (begun, mut pause, mut told) = (Instant::now(), Duration::from_millis(2), false);
    loop {
        let grace = if told { wait.saturating_sub(begun.elapsed()) } else { Duration::ZERO };
        let by = match attempt(dir, repository, &paths, request, grace.max(LOOK_GRACE))? {
            Attempt::Granted(grant) => return Ok(*grant),
            Attempt::Held(by) => by,
        };
        let waited = begun.elapsed();
        if waited >= wait {
            return Err(LockRefused::Held { by: Box::new(by), waited });
        }
        if !told {
            (request.waiting)(&by);
            told = true;
        }
        std::thread::sleep(pause.min(wait - waited));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Takes a repository's lock in the name of a job's attempt. The caller is the attempt's supervisor: it
/// holds the job's sentinel lock and has verified its claim, so that every earlier attempt of the same
/// job is over and what it left behind may be taken over. Of other jobs nothing is known here: what a
/// dead supervisor of theirs left is for a recovery to judge, and is refused as unavailable.
///
/// # Errors
/// See [`LockRefused`].
pub fn acquire_for_job(
    dir: &StateDir,
    repository: &str,
    job_id: &JobId,
    attempt: u32,
    claim: u64,
    wait: Duration,
) -> Result<LockGrant, LockRefused> {
    let job_liveness = |other: &JobId, other_claim: u64| match other == job_id && other_claim <= claim {
        true => JobLiveness::Over,
        false => JobLiveness::Unknown,
    };
    let request = LockRequest {
        holder: LockHolder::Job { job_id: job_id.clone(), attempt, claim },
        operation: "job".to_owned(),
        job_liveness: &job_liveness,
        waiting: &|_| {},
    };
    acquire(dir, repository, &request, wait)
}

enum Attempt {
    Granted(Box<LockGrant>),
    Held(HeldBy),
}

fn attempt(
    dir: &StateDir,
    repository: &str,
    paths: &LockPaths,
    request: &LockRequest<'_>,
    wait: Duration,
) -> Result<Attempt, LockRefused> {
    let look = Look::new(dir, request.job_liveness);
    let flock = match take_flock(dir, paths, &look, wait)? {
        Ok(flock) => flock,
        Err(state) => {
            let metadata = read_metadata(&paths.metadata, repository);
            return held_or_refused(repository, &metadata, look.judge(state, &metadata));
        }
    };
    let old = read_metadata(&paths.metadata, repository);
    let judgement = look.judge(Flock::Free, &old);
    match judgement.verdict {
        LockVerdict::Free | LockVerdict::Stale => {
            let taken_over = judgement.verdict == LockVerdict::Stale;
            let grant = Granting { dir, repository, paths, request };
            grant.write(flock, &old, taken_over).map(|g| Attempt::Granted(Box::new(g)))
        }
        _ => held_or_refused(repository, &old, judgement),
    }
}

/// The flock, or what was found instead. Not even tried on a network file system: it may block there.
fn take_flock(
    dir: &StateDir,
    paths: &LockPaths,
    look: &Look<'_>,
    wait: Duration,
) -> Result<Result<FileLock, Flock>, DiskError> {
    if look.is_on_network() {
        return Ok(Err(Flock::Unusable("it is on a network file system".to_owned())));
    }
    match FileLock::acquire(&dir.disk, &paths.flock, wait) {
        Ok(flock) => Ok(Ok(flock)),
        Err(LockError::Held { .. }) => Ok(Err(Flock::Held)),
        Err(LockError::Disk(e)) => Err(e),
    }
}

fn held_or_refused(
    repository: &str,
    metadata: &MetadataRead,
    judgement: Judgement,
) -> Result<Attempt, LockRefused> {
    match judgement.verdict {
        LockVerdict::Unknown { why } => Err(LockRefused::Unavailable {
            repository: repository.to_owned(),
            why,
            evidence: judgement.evidence,
        }),
        _ => Ok(Attempt::Held(HeldBy::new(repository, metadata, judgement.evidence))),
    }
}

/// A grant that is being written, with the flock held.
struct Granting<'a> {
    dir: &'a StateDir,
    repository: &'a str,
    paths: &'a LockPaths,
    request: &'a LockRequest<'a>,
}

impl Granting<'_> {
    fn write(&self, flock: FileLock, old: &MetadataRead, taken_over: bool) -> Result<LockGrant, LockRefused> {
        let now = self.dir.clock.now();
        let _writing = writing(&self.dir.disk, self.paths).map_err(|e| self.writer_stuck(e))?;
        let token = fencing::last(fencing::read(flock.file())?, old, now).saturating_add(1);
        fencing::write(flock.file(), token)?;
        let metadata = self.metadata(token, now, taken_over);
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

    fn metadata(&self, token: u64, now: Timestamp, taken_over: bool) -> LockMetadata {
        LockMetadata {
            version: METADATA_VERSION,
            repository: self.repository.to_owned(),
            lock_id: uuid::Uuid::now_v7().to_string(),
            token,
            state: LockState::Held,
            holder: self.request.holder.clone(),
            process: ProcessIdentity::this(),
            host: Host::this(),
            uid: rustix::process::geteuid().as_raw(),
            operation: self.request.operation.clone(),
            acquired_at: now,
            released_at: None,
            recovered: taken_over,
            evidence: Vec::new(),
            released_by: None,
        }
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
