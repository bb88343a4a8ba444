//! Releases a lock in its holder's place, on an operator's request.
//!
//! A stale lock is given back without force. A lock whose holder is alive, or whose state is unknown, needs
//! force. What force can and cannot do:
//!
//! - The flock cannot be taken from a living process by another one, nor can the lock file be replaced without
//!   danger: two processes would each hold "the" lock. So while the former holder has the flock, the metadata
//!   says released and **every acquire is still refused**; at most one process ever holds the flock. Force then
//!   means that the repository is free as soon as that process gives up the flock or ends, without a recovery and
//!   whatever the process leaves behind ([`Effective::WhenTheFlockIsFree`]).
//! - When no process has the flock (a command that outlived its `lock` process and has closed what it inherited,
//!   an unsupervised job, unknown metadata) the repository is free at once ([`Effective::Now`]). Processes that
//!   still work on it were not stopped. The next grant has another id and a higher fencing number; a tool that
//!   compares the number in its environment with the metadata can tell that its own is old. Nothing stops a tool
//!   that does not compare: [`Released::breaks`] says so.
//! - When the former holder gives its lock back, it finds its grant released and leaves the note in place; it can
//!   never give back a later grant, because the id is compared.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fencing;
use super::held_by::HeldBy;
use super::inspector::LockInspector;
use super::metadata::{
    LockHolder, LockMetadata, LockState, MetadataRead, ReleaseNote, read_metadata, writing,
};
use super::probe::{LockProbe, PROBE_WAIT, probe};
use super::verdict::{Flock, JobLivenessOf, Judgement, LockVerdict};
use crate::durable::{DiskError, FileLock, LockError, is_held};
use crate::queue::Actor;
use crate::state::names::BadName;
use crate::state::{LockPaths, StateDir};

/// From when on the repository is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effective {
    /// It is free.
    Now,
    /// As soon as the former holder's process lets go of the flock, or is ended.
    WhenTheFlockIsFree,
}

/// A lock that was given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    pub repository: String,
    /// `None` when the metadata was damaged.
    pub lock_id: Option<String>,
    /// The metadata before; `None` when it was damaged.
    pub was: Option<LockMetadata>,
    /// Whether force was needed.
    pub forced: bool,
    /// From when on the repository is free.
    pub effective: Effective,
    /// The consequences, one sentence each; empty for a stale lock.
    pub breaks: Vec<String>,
    /// The evidence of the verdict.
    pub evidence: Vec<String>,
}

/// Why a lock was not given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseRefused {
    /// There is no lock to give back.
    #[error("the lock of repository '{repository}' is not held")]
    NotHeld { repository: String },
    /// The lock has another grant than the one that was named.
    #[error("the lock of repository '{repository}' has the id {held}, not the one that was named")]
    WrongId {
        repository: String,
        /// The present grant.
        held: String,
    },
    /// Its holder is alive.
    #[error("the lock of repository '{}' is held by {who}, which is alive", who.repository)]
    HeldByLiveOwner { who: Box<HeldBy> },
    /// Nothing proves whether its holder is alive.
    #[error("the lock of repository '{repository}' cannot be judged: {why}")]
    Unknown {
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
    /// Another process held the `.writing` lock for the whole wait.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// Gives back the lock of a repository. With `lock_id`, only that grant is given back, never a later one.
pub fn release(
    dir: &StateDir,
    repository: &str,
    lock_id: Option<&str>,
    force: bool,
    actor: &Actor,
    job_liveness: &JobLivenessOf<'_>,
) -> Result<Released, ReleaseRefused> {
    let paths = dir.paths.lock(repository)?;
    if !paths.flock.exists() && !paths.metadata.exists() {
        return Err(ReleaseRefused::NotHeld { repository: repository.to_owned() });
    }
    let look = LockInspector::new(dir, job_liveness);
    let release = Releasing { dir, repository, paths: &paths, lock_id, force, actor };
    let LockProbe { flock, metadata, judgement } = probe(dir, &look, repository, &paths, PROBE_WAIT)?;
    release.decide(flock.as_ref(), &metadata, judgement)
}

/// The result that [`release`] would have now; changes nothing.
pub(crate) fn would_release(
    dir: &StateDir,
    repository: &str,
    lock_id: Option<&str>,
    force: bool,
    job_liveness: &JobLivenessOf<'_>,
) -> Result<Released, ReleaseRefused> {
    let paths = dir.paths.lock(repository)?;
    if !paths.flock.exists() && !paths.metadata.exists() {
        return Err(ReleaseRefused::NotHeld { repository: repository.to_owned() });
    }
    let look = LockInspector::new(dir, job_liveness);
    let actor = Actor::default();
    let release = Releasing { dir, repository, paths: &paths, lock_id, force, actor: &actor };
    let flock = match look.is_on_network() {
        true => Flock::Held, // Even a shared flock may block there; the verdict is unknown in any case.
        false => match is_held(&paths.flock) {
            Ok(true) => Flock::Held,
            Ok(false) => Flock::Free,
            Err(e) if e.is_not_found() => Flock::Free,
            Err(e) => return Err(e.into()),
        },
    };
    let effective = if flock == Flock::Free { Effective::Now } else { Effective::WhenTheFlockIsFree };
    let metadata = read_metadata(&paths.metadata, repository);
    let judgement = look.judge(flock, &metadata);
    let forced = release.check(&metadata, &judgement)?;
    Ok(release.released(&metadata, judgement, forced, effective))
}

struct Releasing<'a> {
    dir: &'a StateDir,
    repository: &'a str,
    paths: &'a LockPaths,
    lock_id: Option<&'a str>,
    force: bool,
    actor: &'a Actor,
}

impl Releasing<'_> {
    fn decide(
        &self,
        flock: Option<&FileLock>,
        metadata: &MetadataRead,
        judgement: Judgement,
    ) -> Result<Released, ReleaseRefused> {
        let forced = self.check(metadata, &judgement)?;
        self.write(flock, metadata, forced, &judgement)?;
        let effective = if flock.is_some() { Effective::Now } else { Effective::WhenTheFlockIsFree };
        Ok(self.released(metadata, judgement, forced, effective))
    }

    /// Whether the lock may be given back only by force; an error when it may not be given back at all.
    fn check(&self, metadata: &MetadataRead, judgement: &Judgement) -> Result<bool, ReleaseRefused> {
        if judgement.verdict == LockVerdict::Free {
            return Err(ReleaseRefused::NotHeld { repository: self.repository.to_owned() });
        }
        self.check_id(metadata, judgement)?;
        match &judgement.verdict {
            LockVerdict::Stale | LockVerdict::Free => Ok(false),
            _ if self.force => Ok(true),
            LockVerdict::Unknown { why } => Err(self.unknown(why.clone(), judgement.evidence.clone())),
            LockVerdict::Live | LockVerdict::LiveUnidentified => {
                let who = Box::new(HeldBy::new(self.repository, metadata, judgement.evidence.clone()));
                Err(ReleaseRefused::HeldByLiveOwner { who })
            }
        }
    }

    fn released(
        &self,
        metadata: &MetadataRead,
        judgement: Judgement,
        forced: bool,
        effective: Effective,
    ) -> Released {
        let was = metadata.whole().cloned();
        Released {
            repository: self.repository.to_owned(),
            lock_id: was.as_ref().map(|m| m.lock_id.clone()),
            breaks: if forced { self.breaks(metadata, effective) } else { Vec::new() },
            was,
            forced,
            effective,
            evidence: judgement.evidence,
        }
    }

    /// Force does not override an id: an operator who names one wants that grant or nothing.
    fn check_id(&self, metadata: &MetadataRead, judgement: &Judgement) -> Result<(), ReleaseRefused> {
        let Some(wanted) = self.lock_id else { return Ok(()) };
        match metadata.whole() {
            Some(m) if m.lock_id == wanted => Ok(()),
            Some(m) => Err(ReleaseRefused::WrongId {
                repository: self.repository.to_owned(),
                held: m.lock_id.clone(),
            }),
            None => Err(self
                .unknown("the metadata does not tell the lock's id".to_owned(), judgement.evidence.clone())),
        }
    }

    fn unknown(&self, why: String, evidence: Vec<String>) -> ReleaseRefused {
        ReleaseRefused::Unknown { repository: self.repository.to_owned(), why, evidence }
    }

    fn write(
        &self,
        flock: Option<&FileLock>,
        judged: &MetadataRead,
        forced: bool,
        judgement: &Judgement,
    ) -> Result<(), ReleaseRefused> {
        let _writing = writing(&self.dir.disk, self.paths)?;
        let now = read_metadata(&self.paths.metadata, self.repository);
        match (judged.whole(), now.whole()) {
            (Some(then), Some(now)) if then.lock_id == now.lock_id => {
                if now.state == LockState::Released {
                    return Ok(()); // Given back, or released by force, in the meantime.
                }
            }
            (None, None) => {}
            (_, other) => {
                // Between the verdict and now the lock was granted to another holder.
                let held = other.map_or_else(|| "(damaged)".to_owned(), |m| m.lock_id.clone());
                return Err(ReleaseRefused::WrongId { repository: self.repository.to_owned(), held });
            }
        }
        if matches!(now, MetadataRead::Damaged { .. }) {
            self.keep_damaged()?;
        }
        let mut metadata = self.basis(flock, now)?.given_back(self.dir.clock.now());
        metadata.evidence.clone_from(&judgement.evidence);
        let Actor { by, why } = self.actor.clone();
        metadata.released_by = Some(ReleaseNote { by, why, forced });
        metadata.write(&self.dir.disk, &self.paths.metadata)?;
        metadata.remove_group(&self.dir.identity.state_id.to_string());
        Ok(())
    }

    fn keep_damaged(&self) -> Result<(), DiskError> {
        let at = self.dir.clock.now().to_string();
        let reason = "lock metadata that could not be read when the lock was released by force";
        self.dir.quarantine().keep_file(&self.paths.metadata, reason, &at).map(drop)
    }

    /// The present metadata; when it was lost, new metadata that keeps the fencing number.
    fn basis(&self, flock: Option<&FileLock>, now: MetadataRead) -> Result<LockMetadata, DiskError> {
        let at = self.dir.clock.now();
        let stored = match flock {
            Some(flock) => fencing::read(flock.file())?,
            None => fencing::read(&self.dir.disk.open_or_create(&self.paths.flock)?)?,
        };
        let token = fencing::last(stored, &now, at);
        Ok(match now {
            MetadataRead::Whole(metadata) => *metadata,
            _ => {
                let operation = "release".to_owned();
                LockMetadata::of_this_process(self.repository, token, LockHolder::Process, operation, at)
            }
        })
    }

    fn breaks(&self, metadata: &MetadataRead, effective: Effective) -> Vec<String> {
        let who = metadata.whole().map_or_else(|| "the present holder".to_owned(), LockMetadata::holder_text);
        let repository = self.repository;
        let mut breaks = vec![format!(
            "{who} was not stopped and may go on working on '{repository}' believing that it holds the lock"
        )];
        breaks.push(match effective {
            Effective::Now => "the lock can be granted to another holder at once".to_owned(),
            Effective::WhenTheFlockIsFree => {
                "the lock is not granted again until that process releases the flock or is ended".to_owned()
            }
        });
        breaks
    }
}
