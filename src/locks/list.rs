//! The locks as reports show them. This takes no lock and changes nothing, so the result may be outdated at once;
//! no decision rests on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fencing::{self, Stored};
use super::fencing_number::FencingNumber;
use super::folder::repositories;
use super::inspector::LockInspector;
use super::metadata::{LockHolder, LockMetadata, LockState, MetadataRead, read_metadata};
use super::recover::look_at_many;
use super::verdict::{Flock, JobLiveness, JobLivenessOf, LockVerdict};
use crate::durable::{DiskError, is_held};
use crate::queue::{Claim, JobId};
use crate::state::names::BadName;
use crate::state::{StateDir, Timestamp};

/// One lock, with its verdict and what that rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockInfo {
    /// Which repository; known from the file's name also when the metadata is damaged.
    pub repository: String,
    /// Which grant.
    pub lock_id: Option<String>,
    /// Its fencing number.
    pub token: Option<FencingNumber>,
    /// Whose it is, or was, in words.
    pub holder: Option<String>,
    /// The job that it belongs to.
    pub job_id: Option<JobId>,
    /// For what.
    pub operation: Option<String>,
    /// Since when.
    pub acquired_at: Option<Timestamp>,
    /// When it was given back.
    pub released_at: Option<Timestamp>,
    /// The process that took it.
    pub pid: Option<u32>,
    /// Where that process runs.
    pub host: Option<String>,
    /// `live`, `free`, `stale` or `unknown`.
    pub liveness: String,
    /// A recovery gave it back, or this grant took over the lock of a dead holder.
    pub recovered: bool,
    /// It is not granted until an operator decides.
    pub unavailable: bool,
    /// Why it is unavailable.
    pub reason: Option<String>,
    /// The metadata file.
    pub file: String,
    /// The metadata, when it is whole.
    pub metadata: Option<LockMetadata>,
    /// The verdict.
    pub verdict: LockVerdict,
    /// What the verdict rests on.
    pub evidence: Vec<String>,
}

impl LockInfo {
    /// Whether it is anything but free.
    pub(crate) fn is_active(&self) -> bool {
        self.verdict != LockVerdict::Free
    }
}

/// All locks that ever were granted, in order of the repositories' names.
pub fn list(dir: &StateDir, job_liveness: &JobLivenessOf<'_>) -> Result<Vec<LockInfo>, DiskError> {
    let names = repositories(&dir.paths.locks())?;
    let look = LockInspector::new(dir, job_liveness);
    Ok(names.iter().filter_map(|name| inspect_with(dir, &look, name).ok().flatten()).collect())
}

/// Locks that are not held and whose last holders, processes that did not give them back, cannot be judged: each
/// with its repository and the reason. For any other lock the files alone say whether it is available.
pub(crate) fn undecided(dir: &StateDir) -> Result<Vec<(String, String)>, DiskError> {
    let is_left = |name: &String| {
        let Ok(paths) = dir.paths.lock(name) else { return false };
        let is_left = |m: &LockMetadata| m.state != LockState::Released && m.holder == LockHolder::Process;
        read_metadata(&paths.metadata, name).whole().is_some_and(is_left)
            && matches!(is_held(&paths.flock), Ok(false))
    };
    let left: Vec<String> = repositories(&dir.paths.locks())?.into_iter().filter(is_left).collect();
    let no_job = |_: &JobId, _: Claim| JobLiveness::Unknown;
    let look = look_at_many(dir, &no_job, &left, &mut || true);
    let judged = left.iter().filter_map(|name| inspect_with(dir, &look, name).ok().flatten());
    Ok(judged.filter_map(|lock| Some((lock.repository, lock.reason?))).collect())
}

/// The lock of one repository; `None` when it never had one.
pub fn inspect(
    dir: &StateDir,
    repository: &str,
    job_liveness: &JobLivenessOf<'_>,
) -> Result<Option<LockInfo>, BadName> {
    inspect_with(dir, &LockInspector::new(dir, job_liveness), repository)
}

fn inspect_with(
    dir: &StateDir,
    look: &LockInspector<'_>,
    repository: &str,
) -> Result<Option<LockInfo>, BadName> {
    let paths = dir.paths.lock(repository)?;
    let flock = match is_held(&paths.flock) {
        Ok(true) => Flock::Held,
        Ok(false) => Flock::Free,
        // A lock without a lock file cannot be held.
        Err(e) if e.is_not_found() => Flock::Free,
        Err(e) => Flock::Unusable(format!("{e}: {}", e.source)),
    };
    let metadata = read_metadata(&paths.metadata, repository);
    if metadata == MetadataRead::Missing && !paths.flock.exists() {
        return Ok(None);
    }
    let judgement = look.judge(flock, &metadata);
    let reason = match &judgement.verdict {
        LockVerdict::Unknown { why } => Some(why.clone()),
        _ => None,
    };
    let whole = metadata.whole();
    Ok(Some(LockInfo {
        repository: repository.to_owned(),
        lock_id: whole.map(|m| m.lock_id.clone()),
        token: whole.map(|m| m.token),
        holder: whole.map(LockMetadata::holder_text),
        job_id: whole.and_then(LockMetadata::job_id).cloned(),
        operation: whole.map(|m| m.operation.clone()),
        acquired_at: whole.map(|m| m.acquired_at),
        released_at: whole.and_then(|m| m.released_at),
        pid: whole.map(|m| m.process.pid),
        host: whole.map(|m| m.host.host.clone()),
        liveness: judgement.verdict.as_str().to_owned(),
        recovered: whole.is_some_and(|m| m.recovered),
        unavailable: reason.is_some(),
        reason,
        file: paths.metadata.display().to_string(),
        metadata: whole.cloned(),
        verdict: judgement.verdict,
        evidence: judgement.evidence,
    }))
}

/// The grant in the lock file itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantCopy {
    /// The fencing number; `None` when it cannot be read.
    pub token: Option<FencingNumber>,
    /// Which grant was the last; `None` when the file does not tell.
    pub lock_id: Option<String>,
    /// Whose that was, in words.
    pub holder: Option<String>,
    /// When it was granted.
    pub acquired_at: Option<Timestamp>,
}

/// The last grant according to the lock file itself; `None` when there is no such file.
pub(crate) fn grant_copy(dir: &StateDir, repository: &str) -> Result<Option<GrantCopy>, DiskError> {
    let Ok(paths) = dir.paths.lock(repository) else { return Ok(None) };
    if !paths.flock.exists() {
        return Ok(None);
    }
    let stored = fencing::read(&dir.disk.open(&paths.flock)?)?;
    let token = match stored {
        Stored::Number(token) => Some(token),
        Stored::Nothing | Stored::Damaged => None,
    };
    let grant = fencing::last_grant(&paths.flock, repository);
    let grant = grant.as_ref();
    Ok(Some(GrantCopy {
        token,
        lock_id: grant.map(|g| g.lock_id.clone()),
        holder: grant.map(LockMetadata::holder_text),
        acquired_at: grant.map(|g| g.acquired_at),
    }))
}
