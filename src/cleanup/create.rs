//! Requests for cleanups, and an operator's retry of a parked one.

use super::known::KnownCleanups;
use super::record::{CleanupPhaseName, CleanupPhaseStatus, CleanupRecord, Source};
use super::store;
use crate::durable::{DiskError, FileLock, LockError};
use crate::queue::{Actor, Job};
use crate::state::StateDir;

/// A request to clean up after a job.
#[derive(Debug, Clone)]
pub struct CleanupRequest<'a> {
    /// A job that is over.
    pub job: &'a Job,
    pub source: Source,
    pub actor: &'a Actor,
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// A new cleanup, with its id.
    New(String),
    /// A cleanup of the job exists that is not over.
    UnderWay(String),
}

/// Why there is no cleanup, or why nothing was changed about one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateRefused {
    /// The job waits or runs.
    #[error("job {job} is {status}: what it uses is not removed")]
    NotOver {
        job: crate::queue::JobId,
        /// The job's status.
        status: crate::queue::JobStatus,
    },
    /// No cleanup has this id, or it is over.
    #[error("there is no cleanup '{id}' that is not over")]
    NoSuchCleanup {
        /// The requested id.
        id: String,
    },
    /// Another process works on cleanups.
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Enters a cleanup; it is synced when this returns. A second request finds the first one's cleanup.
pub fn create(dir: &StateDir, request: &CleanupRequest<'_>) -> Result<Created, CreateRefused> {
    create_beside(&mut KnownCleanups::read(dir)?, dir, request)
}

/// As [`create`], for one of many requests: `known` holds the cleanups so far, and the new one is added to
/// it.
pub(crate) fn create_beside(
    known: &mut KnownCleanups,
    dir: &StateDir,
    request: &CleanupRequest<'_>,
) -> Result<Created, CreateRefused> {
    let job = request.job;
    if !job.status.is_over() {
        return Err(CreateRefused::NotOver { job: job.id.clone(), status: job.status });
    }
    if let Some(open) = known.open_of(job) {
        return Ok(Created::UnderWay(open.cleanup_id.clone()));
    }
    let id = known.free_id(job);
    let record = CleanupRecord {
        by: request.actor.by.clone(),
        why: request.actor.why.clone(),
        ..CleanupRecord::new(id.clone(), job, request.source, dir.clock.now())
    };
    let is_new = store::enter(dir, &record)?;
    known.enter(record);
    Ok(if is_new { Created::New(id) } else { Created::UnderWay(id) })
}

/// Makes parked and failed phases of a cleanup due at once; returns which.
pub fn retry(dir: &StateDir, id: &str) -> Result<Vec<CleanupPhaseName>, CreateRefused> {
    change(dir, id, |record| {
        let mut taken_up = Vec::new();
        for phase in &mut record.phases {
            if matches!(phase.status, CleanupPhaseStatus::Parked | CleanupPhaseStatus::Failed) {
                phase.status = CleanupPhaseStatus::Pending;
                (phase.failures, phase.next_try_at) = (0, None);
                phase.steps.iter_mut().for_each(|s| s.intents = 0);
                taken_up.push(phase.phase);
            }
        }
        taken_up
    })
}

/// Skips a phase for good, with the reason; returns its status before.
pub fn skip(
    dir: &StateDir,
    id: &str,
    phase: CleanupPhaseName,
    actor: &Actor,
) -> Result<CleanupPhaseStatus, CreateRefused> {
    change(dir, id, |record| {
        let phase = record.phase_mut(phase);
        let was = phase.status;
        if !was.is_over() {
            phase.status = CleanupPhaseStatus::Skipped;
            let why = actor.why.as_deref().unwrap_or("no reason given");
            phase.error = Some(format!("passed over by {}: {why}", actor.by));
            phase.next_try_at = None;
        }
        was
    })
}

fn change<T>(
    dir: &StateDir,
    id: &str,
    act: impl FnOnce(&mut CleanupRecord) -> T,
) -> Result<T, CreateRefused> {
    dir.disk.ensure_dir(&dir.paths.cleanup())?;
    // The process that works on cleanups has the cleanup in memory and would overwrite this change.
    let _lock = FileLock::acquire(&dir.disk, &dir.paths.cleanup_lock(), dir.lock_wait)?;
    let mut record =
        store::load(dir, id)?.ok_or_else(|| CreateRefused::NoSuchCleanup { id: id.to_owned() })?;
    let value = act(&mut record);
    store::save(dir, &record)?;
    Ok(value)
}
