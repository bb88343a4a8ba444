//! Reports on repository locks: who has them, what the last recovery did with them, and a release.

use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{BadCursor, Page, cut_counted};
use crate::jobs::Liveness;
use crate::locks::{
    Effective, FencingNumber, LockInfo, LockMetadata, LockState, LockVerdict, LocksRecovered, RecoveredLock,
};
use crate::locks::{ReleaseNote, Released, StaleLocks, Waiter, job_goes_first, waiters};
use crate::queue::{Job, JobId, QueueState};
use crate::recovery::RecoveryRecord;
use crate::state::Word;
use crate::state::{StateDir, Timestamp};

/// One lock that is not free.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct ActiveLock {
    pub repository: String,
    pub lock_id: Option<String>,
    /// The fencing number.
    pub token: Option<FencingNumber>,
    pub holder: Option<String>,
    pub job_id: Option<JobId>,
    pub operation: Option<String>,
    pub acquired_at: Option<Timestamp>,
    pub age_ms: Option<i64>,
    pub pid: Option<u32>,
    pub host: Option<String>,
    /// Of the holder: `alive`, `dead` or `unknown`; `null` when nobody holds it.
    pub liveness: Option<Liveness>,
    /// Of the lock: `live`, `free`, `stale` or `unknown`.
    pub verdict: Word,
    pub recovered: bool,
    pub unavailable: bool,
    /// How many wait.
    pub waiting_total: u64,
    /// Who waits, in order: ids of queued jobs, and `process:PID` for who waits with a ticket.
    pub waiting: Vec<String>,
    /// The same, with what is known of each.
    pub waiting_line: Vec<InLine>,
}

/// Somebody who waits for a repository.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct InLine {
    /// 1 for the next.
    pub position: usize,
    /// `job` or `process`.
    pub kind: Word,
    pub job_id: Option<JobId>,
    /// Not to be started before.
    pub not_before: Option<Timestamp>,
    /// The ticket's number.
    pub ticket: Option<u64>,
    pub pid: Option<u32>,
    pub operation: Option<String>,
    pub since: Option<Timestamp>,
}

impl InLine {
    fn of_job(job: &Job) -> InLine {
        InLine {
            position: 0,
            kind: "job".into(),
            job_id: Some(job.id.clone()),
            not_before: job.not_before,
            ticket: None,
            pid: None,
            operation: None,
            since: Some(job.submitted_at),
        }
    }

    fn of_ticket(waiter: &Waiter) -> InLine {
        let note = waiter.note.as_ref();
        InLine {
            position: 0,
            kind: "process".into(),
            job_id: None,
            not_before: None,
            ticket: Some(waiter.number),
            pid: note.map(|n| n.process.pid),
            operation: note.map(|n| n.operation.clone()),
            since: note.map(|n| n.since),
        }
    }

    fn name(&self) -> String {
        match (&self.job_id, self.pid) {
            (Some(id), _) => id.to_string(),
            (None, Some(pid)) => format!("process:{pid}"),
            (None, None) => "process".to_owned(),
        }
    }
}

/// The queued jobs by repository, each list in the queue's order: the queue is read once for any number of
/// locks.
struct QueuedByRepository<'a>(HashMap<&'a str, Vec<&'a Job>>);

impl<'a> QueuedByRepository<'a> {
    fn of(state: &'a QueueState, wanted: &HashSet<&str>) -> QueuedByRepository<'a> {
        let mut jobs: HashMap<&str, Vec<&Job>> = HashMap::new();
        for job in state.queued() {
            if let Some(repository) = job.repository.as_deref().filter(|r| wanted.contains(r)) {
                jobs.entry(repository).or_default().push(job);
            }
        }
        QueuedByRepository(jobs)
    }

    /// Returns the jobs and tickets of a repository in one line.
    fn line(&self, dir: &StateDir, repository: &str) -> Vec<InLine> {
        let mut jobs = self.0.get(repository).map_or(&[][..], Vec::as_slice);
        let waiting = dir.paths.lock(repository).ok().and_then(|paths| waiters(&paths).ok());
        let mut line = Vec::new();
        for waiter in waiting.unwrap_or_default() {
            let behind = waiter.note.as_ref().map_or(0, |note| note.behind);
            let before = jobs.iter().take_while(|j| job_goes_first(j.priority, j.place.seq, behind)).count();
            line.extend(jobs[..before].iter().map(|job| InLine::of_job(job)));
            line.push(InLine::of_ticket(&waiter));
            jobs = &jobs[before..];
        }
        line.extend(jobs.iter().map(|job| InLine::of_job(job)));
        line.iter_mut().zip(1..).for_each(|(place, position)| place.position = position);
        line
    }
}

/// The locks that are not free, in order of the repositories' names.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct ActiveLocks {
    pub locks: Vec<ActiveLock>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

impl ActiveLocks {
    /// Makes the report from all locks.
    pub(crate) fn new(
        dir: &StateDir,
        locks: Vec<LockInfo>,
        state: &QueueState,
        page: &Page,
    ) -> Result<ActiveLocks, BadCursor> {
        let active: Vec<LockInfo> = locks.into_iter().filter(LockInfo::is_active).collect();
        let total = active.len() as u64;
        let (part, next_cursor) = cut_counted(active, page)?;
        let names = part.iter().map(|lock| &*lock.repository).collect();
        let (queued, now) = (QueuedByRepository::of(state, &names), dir.clock.now());
        let locks = part.iter().map(|lock| active_lock(dir, lock, &queued, now)).collect();
        Ok(ActiveLocks { locks, total, next_cursor })
    }

    /// Keeps only this many entries of each line; the number of all that wait stays.
    pub(crate) fn with_heads_of_lines(mut self, number: usize) -> ActiveLocks {
        for lock in &mut self.locks {
            lock.waiting.truncate(number);
            lock.waiting_line.truncate(number);
        }
        self
    }
}

/// One lock with all that is known of it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
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
    /// Reports on one lock.
    pub(crate) fn of(dir: &StateDir, info: LockInfo, state: &QueueState) -> InspectedLock {
        let names = HashSet::from([&*info.repository]);
        let lock = active_lock(dir, &info, &QueuedByRepository::of(state, &names), dir.clock.now());
        InspectedLock::with(lock, info)
    }

    fn with(lock: ActiveLock, info: LockInfo) -> InspectedLock {
        InspectedLock {
            lock,
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
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct InspectedLocks {
    pub locks: Vec<InspectedLock>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

impl InspectedLocks {
    /// Reports on one lock with all details.
    pub(crate) fn new(
        dir: &StateDir,
        locks: Vec<LockInfo>,
        state: &QueueState,
        page: &Page,
    ) -> Result<InspectedLocks, BadCursor> {
        let total = locks.len() as u64;
        let (part, next_cursor) = cut_counted(locks, page)?;
        let names = part.iter().map(|lock| &*lock.repository).collect();
        let (queued, now) = (QueuedByRepository::of(state, &names), dir.clock.now());
        let about: Vec<ActiveLock> = part.iter().map(|info| active_lock(dir, info, &queued, now)).collect();
        let locks = about.into_iter().zip(part).map(|(lock, info)| InspectedLock::with(lock, info)).collect();
        Ok(InspectedLocks { locks, total, next_cursor })
    }
}

fn active_lock(
    dir: &StateDir,
    info: &LockInfo,
    queued: &QueuedByRepository<'_>,
    now: Timestamp,
) -> ActiveLock {
    // The metadata of a lock that was given back in order does not say who has it, or had it last, now.
    let gone = info.metadata.as_ref().is_some_and(|m| {
        m.state == LockState::Released && !m.released_by.as_ref().is_some_and(|note| note.forced)
    });
    let known = Some(info).filter(|i| !gone && i.is_active());
    let waiting_line = queued.line(dir, &info.repository);
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
        verdict: info.verdict.as_str().into(),
        recovered: info.recovered,
        unavailable: info.unavailable,
        waiting_total: waiting_line.len() as u64,
        waiting: waiting_line.iter().map(InLine::name).collect(),
        waiting_line,
    }
}

/// Returns the liveness of the holder, in the words that are used for jobs.
fn liveness(verdict: &LockVerdict) -> Option<Liveness> {
    match verdict {
        LockVerdict::Live | LockVerdict::LiveUnidentified => Some(Liveness::Alive),
        LockVerdict::Stale => Some(Liveness::Dead),
        LockVerdict::Unknown { .. } => Some(Liveness::Unknown),
        LockVerdict::Free => None,
    }
}

/// What the last recovery did with the locks that it found held.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
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
    /// Makes the report from the record of the last recovery.
    pub(crate) fn new(last: Option<&RecoveryRecord>, page: &Page) -> Result<RecoveredLocks, BadCursor> {
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
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct ReleaseReport {
    pub repository: String,
    pub lock_id: Option<String>,
    pub released: bool,
    pub dry_run: bool,
    pub forced: bool,
    /// `now`, or `when_the_flock_is_free`: as soon as the former holder's process lets go or is ended.
    pub effective: Effective,
    /// What it breaks, one sentence each.
    pub breaks: Vec<String>,
    pub evidence: Vec<String>,
    /// What the metadata said; `null` when it was damaged.
    pub was: Option<LockMetadata>,
}

impl ReleaseReport {
    /// Makes the report of a lock that was given back.
    pub(crate) fn done(released: Released) -> ReleaseReport {
        ReleaseReport {
            repository: released.repository,
            lock_id: released.lock_id,
            released: true,
            dry_run: false,
            forced: released.forced,
            effective: released.effective,
            breaks: released.breaks,
            evidence: released.evidence,
            was: released.was,
        }
    }
}

/// What a look for stale locks found, and what was given back.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct StaleReport {
    #[serde(flatten)]
    pub found: StaleLocks,
    /// How many were given back.
    pub released: usize,
    pub dry_run: bool,
}

impl StaleReport {
    /// Makes the report of a look for stale locks.
    pub(crate) fn new(found: StaleLocks, dry_run: bool) -> StaleReport {
        let released = found.stale.iter().filter(|lock| lock.released).count();
        StaleReport { found, released, dry_run }
    }

    /// Whether a lock that was to be given back was not.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.found.stale.iter().any(|lock| lock.error.is_some())
    }
}
