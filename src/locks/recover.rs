//! Recovers the locks that a crash left: locks of living holders are kept, locks of dead ones are given back, and
//! those that cannot be judged are left alone, as unavailable.
//!
//! Each lock is judged with its flock taken, so that it cannot be granted in between. Giving it back is one
//! replacement of the metadata, with the evidence, and is repeated when it was interrupted. The fencing number
//! stays; the next grant raises it. All locks share one scan of the processes; another scan is made only for a
//! holder that dies during the recovery. Damaged metadata stays in place, so that the repository remains
//! unavailable until an operator decides (`release` with force); a copy goes to quarantine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fencing::last_grant;
use super::folder::repositories;
use super::inspector::LockInspector;
use super::line::sweep_line;
use super::metadata::{LockMetadata, MetadataRead, ReleaseNote, read_metadata, writing};
use super::probe::{LockProbe, PROBE_WAIT, probe};
use super::verdict::{Flock, JobLivenessOf, Judgement, LockVerdict};
use crate::durable::{DiskError, error_chain};
use crate::logging::events;
use crate::queue::{Actor, JobId};
use crate::state::names::BadName;
use crate::state::{LockPaths, StateDir};
use tracing::{debug, warn};

/// The result for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LockOutcome {
    /// Its holder lives and keeps it.
    Kept,
    /// Its holder was gone; it was given back.
    Released,
    /// It could not be judged; it is not granted until an operator decides.
    Unavailable,
}

/// One lock that a recovery found held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveredLock {
    /// Which repository.
    pub repository: String,
    /// Which grant; `None` when the metadata does not tell.
    pub lock_id: Option<String>,
    /// Whose, in words.
    pub holder: Option<String>,
    /// The job that it belongs to.
    pub job_id: Option<JobId>,
    /// What was done.
    pub outcome: LockOutcome,
    /// What that rests on.
    pub evidence: Vec<String>,
}

/// The results for all locks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LocksRecovered {
    /// How many holders live.
    pub kept: usize,
    /// How many locks were given back.
    pub released: usize,
    /// How many repositories are unavailable.
    pub unavailable: usize,
    /// Number of locks that were not held.
    pub free: usize,
    /// Those that were held, in order of the repositories' names.
    pub locks: Vec<RecoveredLock>,
}

impl LocksRecovered {
    fn count(&mut self, lock: Option<RecoveredLock>) {
        let Some(lock) = lock else {
            self.free += 1;
            return;
        };
        match lock.outcome {
            LockOutcome::Kept => self.kept += 1,
            LockOutcome::Released => self.released += 1,
            LockOutcome::Unavailable => self.unavailable += 1,
        }
        self.locks.push(lock);
    }
}

/// Recovers every lock. `progress` is called with the number done and in all, and says whether to go on: after
/// any lock the files are consistent, and the remaining locks are left as they are.
///
/// # Errors
/// When the locks cannot be listed. An error with one lock makes that one unavailable.
pub fn recover_all(
    dir: &StateDir,
    job_liveness: &JobLivenessOf<'_>,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<LocksRecovered, DiskError> {
    let names: Vec<String> = repositories(&dir.paths.locks())?.into_iter().collect();
    let look = look_at_many(dir, job_liveness, &names, &mut || progress(0, names.len()));
    let mut recovered = LocksRecovered::default();
    let mut goes_on = progress(0, names.len());
    for (done, name) in names.iter().enumerate() {
        if !goes_on {
            break;
        }
        if let Ok(paths) = dir.paths.lock(name) {
            recovered.count(recover_with(dir, &look, name, &paths));
        }
        goes_on = progress(done + 1, names.len());
    }
    Ok(recovered)
}

/// An inspector for many locks, with one scan of the processes that counts for all of them. `goes_on` is asked
/// before each lock; once it says no, the inspector is of no use.
pub(super) fn look_at_many<'a>(
    dir: &StateDir,
    job_liveness: &'a JobLivenessOf<'a>,
    names: &[String],
    goes_on: &mut dyn FnMut() -> bool,
) -> LockInspector<'a> {
    let mut look = LockInspector::new(dir, job_liveness);
    let read = names.iter().take_while(|_| goes_on()).filter_map(|name| {
        let paths = dir.paths.lock(name).ok()?;
        match read_metadata(&paths.metadata, name) {
            MetadataRead::Whole(metadata) => Some(*metadata),
            // A repair judges by the copy in the lock file.
            MetadataRead::Damaged { .. } => last_grant(&paths.flock, name),
            MetadataRead::Missing => None,
        }
    });
    look.scan_for(read);
    look
}

/// Recovers one lock; `None` when it is not held.
pub fn recover_one(
    dir: &StateDir,
    repository: &str,
    job_liveness: &JobLivenessOf<'_>,
) -> Result<Option<RecoveredLock>, BadName> {
    let paths = dir.paths.lock(repository)?;
    if !paths.flock.exists() && !paths.metadata.exists() {
        return Ok(None);
    }
    let look = LockInspector::new(dir, job_liveness);
    Ok(recover_with(dir, &look, repository, &paths))
}

fn tell(lock: &RecoveredLock) {
    if lock.outcome == LockOutcome::Released {
        let (repository, holder) = (&lock.repository, lock.holder.as_deref().unwrap_or("nobody known"));
        warn!(
            event = events::LOCK_RECOVERED,
            repository,
            lock_id = lock.lock_id,
            job_id = lock.job_id.as_ref().map(display),
            "the lock of repository {repository} is given back: {holder} is gone"
        );
    }
}

fn recover_with(
    dir: &StateDir,
    look: &LockInspector<'_>,
    repository: &str,
    paths: &LockPaths,
) -> Option<RecoveredLock> {
    let recovering = Recovering { dir, repository, paths };
    if let Err(e) = sweep_line(dir, paths) {
        // Tickets of dead processes count for nothing, even if they could not be removed.
        debug!(
            event = events::TROUBLE,
            repository,
            "tickets of the dead stay in the line: {}",
            error_chain(&e)
        );
    }
    match probe(dir, look, repository, paths, PROBE_WAIT) {
        Ok(LockProbe { metadata, judgement, flock }) => {
            let recovered = recovering.conclude(&metadata, judgement);
            drop(flock);
            recovered.iter().for_each(tell);
            recovered
        }
        Err(e) => {
            let metadata = read_metadata(&paths.metadata, repository);
            let judgement = look.judge(Flock::Unusable(with_cause(&e)), &metadata);
            recovering.conclude(&metadata, judgement)
        }
    }
}

pub(super) fn with_cause(e: &DiskError) -> String {
    format!("{e}: {}", e.source)
}

struct Recovering<'a> {
    dir: &'a StateDir,
    repository: &'a str,
    paths: &'a LockPaths,
}

impl Recovering<'_> {
    fn conclude(&self, metadata: &MetadataRead, judgement: Judgement) -> Option<RecoveredLock> {
        let mut evidence = judgement.evidence;
        let outcome = match judgement.verdict {
            LockVerdict::Free => return None,
            LockVerdict::Live | LockVerdict::LiveUnidentified => LockOutcome::Kept,
            LockVerdict::Unknown { .. } => {
                evidence.extend(self.keep_damaged(metadata));
                LockOutcome::Unavailable
            }
            LockVerdict::Stale => match metadata.whole().map(|m| self.give_back(m, &evidence)) {
                Some(Ok(())) => LockOutcome::Released,
                Some(Err(why)) => {
                    evidence.push(format!("it could not be given back: {why}"));
                    LockOutcome::Unavailable
                }
                None => LockOutcome::Unavailable,
            },
        };
        let whole = metadata.whole();
        Some(RecoveredLock {
            repository: self.repository.to_owned(),
            lock_id: whole.map(|m| m.lock_id.clone()),
            holder: whole.map(LockMetadata::holder_text),
            job_id: whole.and_then(LockMetadata::job_id).cloned(),
            outcome,
            evidence,
        })
    }

    /// Copies damaged metadata to quarantine, and says so in a sentence.
    fn keep_damaged(&self, metadata: &MetadataRead) -> Option<String> {
        let MetadataRead::Damaged { why } = metadata else { return None };
        let at = self.dir.clock.now().to_string();
        Some(match self.dir.quarantine().keep_file(&self.paths.metadata, why, &at) {
            Ok(kept) => format!("a copy is kept in {}", kept.display()),
            Err(e) => format!("no copy could be kept: {}", with_cause(&e)),
        })
    }

    fn give_back(&self, judged: &LockMetadata, evidence: &[String]) -> Result<(), String> {
        give_back(self.dir, self.paths, judged, evidence, None)
    }
}

/// Gives back the lock of a dead holder. The caller holds the flock, so the metadata is still the one that was
/// judged. It is one replacement: after a kill before it, the lock is still stale.
pub(super) fn give_back(
    dir: &StateDir,
    paths: &LockPaths,
    judged: &LockMetadata,
    evidence: &[String],
    actor: Option<&Actor>,
) -> Result<(), String> {
    let _writing = writing(&dir.disk, paths).map_err(|e| e.to_string())?;
    judged.remove_group(&dir.identity.state_id.to_string());
    let mut metadata = judged.clone().given_back(dir.clock.now());
    metadata.evidence = evidence.to_vec();
    metadata.recovered = true;
    metadata.released_by = actor.map(|actor| {
        let Actor { by, why } = actor.clone();
        ReleaseNote { by, why, forced: false }
    });
    metadata.write(&dir.disk, &paths.metadata).map_err(|e| with_cause(&e))
}
