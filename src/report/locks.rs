//! The reports on repository locks: who has them, what the last recovery did with them, a release.

use serde::Serialize;

use super::page::{BadCursor, Page, cut_counted};
use crate::locks::{
    Effective, LockInfo, LockMetadata, LockState, LockVerdict, LocksRecovered, RecoveredLock,
};
use crate::locks::{ReleaseNote, Released};
use crate::queue::{JobId, QueueState};
use crate::recovery::RecoveryRecord;
use crate::state::Timestamp;

/// One lock that is not free.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct ActiveLock {
    pub repository: String,
    pub lock_id: Option<String>,
    /// The fencing number.
    pub token: Option<u64>,
    pub holder: Option<String>,
    pub job_id: Option<JobId>,
    pub operation: Option<String>,
    pub acquired_at: Option<Timestamp>,
    pub age_ms: Option<i64>,
    pub pid: Option<u32>,
    pub host: Option<String>,
    /// Of the holder: `alive`, `dead` or `unknown`; `null` when nobody holds it.
    pub liveness: Option<&'static str>,
    /// Of the lock: `live`, `free`, `stale` or `unknown`.
    pub verdict: &'static str,
    pub recovered: bool,
    pub unavailable: bool,
    /// The queued jobs of this repository, in the order in which they are to start.
    pub waiting: Vec<String>,
}

/// The locks that are not free, in order of the repositories' names.
#[derive(Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct ActiveLocks {
    pub locks: Vec<ActiveLock>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

impl ActiveLocks {
    /// Out of all locks.
    ///
    /// # Errors
    /// [`BadCursor`].
    pub fn new(
        locks: Vec<LockInfo>,
        state: &QueueState,
        now: Timestamp,
        page: &Page,
    ) -> Result<ActiveLocks, BadCursor> {
        let active: Vec<LockInfo> = locks.into_iter().filter(LockInfo::is_active).collect();
        let total = active.len() as u64;
        let (part, next_cursor) = cut_counted(active, page)?;
        let locks = part.iter().map(|lock| active_lock(lock, state, now)).collect();
        Ok(ActiveLocks { locks, total, next_cursor })
    }
}

/// One lock with all that is known of it.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct InspectedLock {
    #[serde(flatten)]
    pub lock: ActiveLock,
    pub released_at: Option<Timestamp>,
    pub released_by: Option<ReleaseNote>,
    pub reason: Option<String>,
    pub evidence: Vec<String>,
    pub file: String,
    pub metadata: Option<LockMetadata>,
}

impl InspectedLock {
    /// Of one lock.
    #[must_use]
    pub fn of(info: LockInfo, state: &QueueState, now: Timestamp) -> InspectedLock {
        InspectedLock {
            lock: active_lock(&info, state, now),
            released_at: info.released_at,
            released_by: info.metadata.as_ref().and_then(|m| m.released_by.clone()),
            reason: info.reason,
            evidence: info.evidence,
            file: info.file,
            metadata: info.metadata,
        }
    }
}

/// All locks that ever were granted, or one of them.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct InspectedLocks {
    pub locks: Vec<InspectedLock>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

impl InspectedLocks {
    /// With everything.
    ///
    /// # Errors
    /// [`BadCursor`].
    pub fn new(
        locks: Vec<LockInfo>,
        state: &QueueState,
        now: Timestamp,
        page: &Page,
    ) -> Result<InspectedLocks, BadCursor> {
        let total = locks.len() as u64;
        let (part, next_cursor) = cut_counted(locks, page)?;
        let locks = part.into_iter().map(|info| InspectedLock::of(info, state, now)).collect();
        Ok(InspectedLocks { locks, total, next_cursor })
    }
}

fn active_lock(info: &LockInfo, state: &QueueState, now: Timestamp) -> ActiveLock {
    // Metadata of a lock that was given back in order does not tell who has it, or had it last, now.
    let gone = info.metadata.as_ref().is_some_and(|m| {
        m.state == LockState::Released && !m.released_by.as_ref().is_some_and(|note| note.forced)
    });
    let known = Some(info).filter(|i| !gone && i.is_active());
    let waiting = state.queued().filter(|job| job.repository.as_deref() == Some(&*info.repository));
    ActiveLock {
        repository: info.repository.clone(),
        lock_id: known.and_then(|i| i.lock_id.clone()),
        token: info.token,
        holder: known.and_then(|i| i.holder.clone()),
        job_id: known.and_then(|i| i.job_id.clone()),
        operation: known.and_then(|i| i.operation.clone()),
        acquired_at: known.and_then(|i| i.acquired_at),
        age_ms: known.and_then(|i| i.acquired_at).map(|at| now.millis_since(at)),
        pid: known.and_then(|i| i.pid),
        host: known.and_then(|i| i.host.clone()),
        liveness: liveness(&info.verdict),
        verdict: info.verdict.as_str(),
        recovered: info.recovered,
        unavailable: info.unavailable,
        waiting: waiting.map(|job| job.id.to_string()).collect(),
    }
}

/// Of the holder, in the words that are used for jobs.
fn liveness(verdict: &LockVerdict) -> Option<&'static str> {
    match verdict {
        LockVerdict::Live | LockVerdict::LiveUnidentified => Some("alive"),
        LockVerdict::Stale => Some("dead"),
        LockVerdict::Unknown { .. } => Some("unknown"),
        LockVerdict::Free => None,
    }
}

/// What the last recovery did with the locks that it found held.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct RecoveredLocks {
    /// `null` when there was no recovery.
    pub recovery_id: Option<String>,
    pub at: Option<Timestamp>,
    pub kept: usize,
    pub released: usize,
    pub unavailable: usize,
    pub free: usize,
    pub locks: Vec<RecoveredLock>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

impl RecoveredLocks {
    /// Out of the record of the last recovery.
    ///
    /// # Errors
    /// [`BadCursor`].
    pub fn new(last: Option<&RecoveryRecord>, page: &Page) -> Result<RecoveredLocks, BadCursor> {
        let detail = last.and_then(|l| l.details.get("locks"));
        let found: Option<LocksRecovered> = detail.and_then(|d| serde_json::from_value(d.clone()).ok());
        let LocksRecovered { kept, released, unavailable, free, locks } = found.unwrap_or_default();
        let total = locks.len() as u64;
        let (locks, next_cursor) = cut_counted(locks, page)?;
        let (recovery_id, at) =
            last.map(|l| (l.snapshot.recovery_id.to_string(), l.snapshot.ended_at)).unzip();
        let at = at.flatten();
        Ok(RecoveredLocks { recovery_id, at, kept, released, unavailable, free, locks, total, next_cursor })
    }
}

/// A release, done or rehearsed.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct ReleaseReport {
    pub repository: String,
    pub lock_id: Option<String>,
    pub released: bool,
    pub dry_run: bool,
    pub forced: bool,
    /// `now`, or `when_the_flock_is_free`: as soon as the former holder's process lets go or is ended.
    pub effective: &'static str,
    /// What it breaks, one sentence each.
    pub breaks: Vec<String>,
    pub evidence: Vec<String>,
    /// What the metadata said; `null` when it was damaged.
    pub was: Option<LockMetadata>,
}

impl ReleaseReport {
    /// Of a lock that was given back.
    #[must_use]
    pub fn done(released: Released) -> ReleaseReport {
        let effective = match released.effective {
            Effective::Now => "now",
            Effective::WhenTheFlockIsFree => "when_the_flock_is_free",
        };
        ReleaseReport {
            repository: released.repository,
            lock_id: released.lock_id,
            released: true,
            dry_run: false,
            forced: released.forced,
            effective,
            breaks: released.breaks,
            evidence: released.evidence,
            was: released.was,
        }
    }
}
