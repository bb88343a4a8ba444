//! Requested cleanups, and an operator's retry of a parked one.

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

/// Result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// A new cleanup, with its id.
    New(String),
    /// There is one that is not over.
    UnderWay(String),
}

/// Why there is no cleanup, or why nothing was changed about one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateRefused {
    /// It waits or runs.
    #[error("job {job} is {status}: what it uses is not removed")]
    NotOver {
        job: crate::queue::JobId,
        /// Where it stands.
        status: crate::queue::JobStatus,
    },
    /// No such cleanup, or it is over.
    #[error("there is no cleanup '{id}' that is not over")]
    NoSuchCleanup {
        /// What was asked for.
        id: String,
    },
    /// Another process works on it.
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Enters a cleanup; on disk when this returns. A second request finds the first one's.
pub fn create(dir: &StateDir, request: &CleanupRequest<'_>) -> Result<Created, CreateRefused> {
    create_beside(&mut KnownCleanups::read(dir)?, dir, request)
}

/// The same, for many: beside those that are known, to which the new one is added.
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

/// Takes parked and failed phases of a cleanup up again, at once; which ones.
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

/// Passes a phase over for good, with the reason; where it stood.
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
    // The process that works on cleanups has it in memory and would overwrite this change.
    let _lock = FileLock::acquire(&dir.disk, &dir.paths.cleanup_lock(), dir.lock_wait)?;
    let mut record =
        store::load(dir, id)?.ok_or_else(|| CreateRefused::NoSuchCleanup { id: id.to_owned() })?;
    let value = act(&mut record);
    store::save(dir, &record)?;
    Ok(value)
}
