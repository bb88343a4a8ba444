//! `locks detect-stale`: finds the locks that their holders left behind, and gives them back at an operator's
//! request.
//!
//! Only provably stale locks are given back; those that cannot be judged are named and left alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::inspector::LockInspector;
use super::list::{LockInfo, list};
use super::probe::{LockProbe, PROBE_WAIT, probe};
use super::recover::{give_back, look_at_many};
use super::verdict::{JobLivenessOf, LockVerdict};
use crate::durable::DiskError;
use crate::queue::Actor;
use crate::state::StateDir;

/// A lock whose holder is provably gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StaleLock {
    /// Which repository.
    pub repository: String,
    /// Which grant.
    pub lock_id: Option<String>,
    /// Whose it was, in words.
    pub holder: Option<String>,
    /// What the verdict rests on.
    pub evidence: Vec<String>,
    /// Whether it was given back.
    pub released: bool,
    /// Why not, when that was asked for.
    pub error: Option<String>,
}

/// A lock that cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnknownLock {
    /// Which repository.
    pub repository: String,
    /// Which grant.
    pub lock_id: Option<String>,
    /// Why no verdict is possible.
    pub why: String,
    /// What is known.
    pub evidence: Vec<String>,
}

/// The result of a search for stale locks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct StaleLocks {
    /// Those of dead holders, in order of the repositories' names.
    pub stale: Vec<StaleLock>,
    /// How many are held by living ones.
    pub live: usize,
    /// Those that an operator must decide about.
    pub unknown: Vec<UnknownLock>,
    /// Number of locks that are not held.
    pub free: usize,
}

/// Finds stale locks. Changes nothing.
pub fn detect_stale(dir: &StateDir, job_liveness: &JobLivenessOf<'_>) -> Result<StaleLocks, DiskError> {
    let mut found = StaleLocks::default();
    for LockInfo { repository, lock_id, holder, verdict, evidence, .. } in list(dir, job_liveness)? {
        match verdict {
            LockVerdict::Free => found.free += 1,
            LockVerdict::Live | LockVerdict::LiveUnidentified => found.live += 1,
            LockVerdict::Unknown { why } => {
                found.unknown.push(UnknownLock { repository, lock_id, why, evidence });
            }
            LockVerdict::Stale => {
                let stale = StaleLock { repository, lock_id, holder, evidence, released: false, error: None };
                found.stale.push(stale);
            }
        }
    }
    Ok(found)
}

/// Gives the stale locks back, each judged again with its flock taken; `released` is called after each, before
/// the next.
pub fn release_stale<E>(
    dir: &StateDir,
    job_liveness: &JobLivenessOf<'_>,
    found: &mut StaleLocks,
    actor: &Actor,
    released: &mut dyn FnMut(&StaleLock) -> Result<(), E>,
) -> Result<(), E> {
    let names: Vec<String> = found.stale.iter().map(|lock| lock.repository.clone()).collect();
    let look = look_at_many(dir, job_liveness, &names, &mut || true);
    for lock in &mut found.stale {
        match release_one(dir, &look, lock, actor) {
            Ok(evidence) => {
                lock.released = true;
                lock.evidence = evidence;
                released(lock)?;
            }
            Err(why) => lock.error = Some(why),
        }
    }
    Ok(())
}

/// Judges a lock again and gives it back if it is still stale; returns the evidence of that second judgement.
fn release_one(
    dir: &StateDir,
    look: &LockInspector<'_>,
    lock: &StaleLock,
    actor: &Actor,
) -> Result<Vec<String>, String> {
    let paths = dir.paths.lock(&lock.repository).map_err(|e| e.to_string())?;
    let LockProbe { flock: _flock, metadata, judgement } =
        probe(dir, look, &lock.repository, &paths, PROBE_WAIT).map_err(|e| format!("{e}: {}", e.source))?;
    match (&judgement.verdict, metadata.whole()) {
        (LockVerdict::Stale, Some(m)) if Some(&m.lock_id) == lock.lock_id.as_ref() => {
            give_back(dir, &paths, m, &judgement.evidence, Some(actor))?;
            Ok(judgement.evidence)
        }
        (verdict, _) => Err(format!("it is not what it was: {} by now", verdict.as_str())),
    }
}
