//! All evidence behind the verdict on a repository's lock.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::locks::InspectedLock;
use super::past_proof::{PastProof, releases};
use crate::durable::DiskError;
use crate::findings::Object;
use crate::locks::{GrantCopy, LockInfo, LockRepair, grant_copy};
use crate::queue::QueueState;
use crate::state::StateDir;
use crate::state::Word;

/// The verdict, what it rests on, and what else is known of the lock.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct WhyLock {
    /// `lock:REPOSITORY`.
    pub object: Object,
    /// `live`, `free`, `stale` or `unknown`.
    pub verdict: Word,
    /// What the verdict rests on, in the order in which it was looked at.
    pub evidence: Vec<String>,
    /// What stands against a verdict.
    pub reason: Option<String>,
    /// The number and the grant in the lock file itself.
    pub copy: Option<GrantCopy>,
    /// The job that runs on the repository as far as the queue knows.
    pub running_job: Option<String>,
    /// What `repair locks` would do.
    pub repair: Option<Repairable>,
    /// When it was given back in its holder's stead before, the newest first.
    #[serde(default)]
    pub past: Vec<PastProof>,
    /// What the lock is to others.
    pub lock: InspectedLock,
}

/// What a repair would do about it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Repairable {
    /// `null` when only an operator can decide.
    pub action: Option<Word>,
    pub reason: String,
    pub evidence: Vec<String>,
}

impl WhyLock {
    /// Explains one lock.
    pub(crate) fn of(
        dir: &StateDir,
        info: LockInfo,
        state: &QueueState,
        repair: Option<LockRepair>,
    ) -> Result<WhyLock, DiskError> {
        let copy = grant_copy(dir, &info.repository)?;
        let running_job = state.holder_of(&info.repository).map(|job| job.id.to_string());
        let object = Object::lock(&info.repository);
        Ok(WhyLock {
            past: releases(dir, &object),
            object,
            verdict: info.verdict.as_str().into(),
            evidence: info.evidence.clone(),
            reason: info.reason.clone(),
            copy,
            running_job,
            repair: repair.map(|r| Repairable {
                action: r.act.map(|act| act.as_str().into()),
                reason: r.reason,
                evidence: r.evidence,
            }),
            lock: InspectedLock::of(dir, info, state),
        })
    }
}
