//! The holder, or the predecessor in the line, for which a request waits.

use super::line::Waiter;
use super::metadata::{LockMetadata, LockState, MetadataRead};
use crate::queue::JobId;
use crate::state::Timestamp;

/// The holder of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBy {
    pub repository: String,
    /// The holder, in words.
    pub holder: String,
    /// The job that it belongs to.
    pub job_id: Option<JobId>,
    /// The process that took the lock.
    pub pid: Option<u32>,
    /// The id of the grant.
    pub lock_id: Option<String>,
    /// What the holder does: `job`, or a command line.
    pub operation: Option<String>,
    /// When the holder got the lock, or the waiter its ticket.
    pub since: Option<Timestamp>,
    /// The evidence that it is alive.
    pub evidence: Vec<String>,
}

impl HeldBy {
    pub(super) fn new(repository: &str, metadata: &MetadataRead, evidence: Vec<String>) -> HeldBy {
        // The metadata of a released lock does not name the process that has the flock now.
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

impl HeldBy {
    /// A process that waits with an earlier ticket.
    pub(super) fn before_in_line(repository: &str, waiter: &Waiter) -> HeldBy {
        let note = waiter.note.as_ref();
        let who = note.map_or_else(
            || "a process that is not named".to_owned(),
            |note| format!("process {} ({})", note.process.pid, note.operation),
        );
        HeldBy {
            repository: repository.to_owned(),
            holder: format!("{who}, next in line with ticket {}", waiter.number),
            job_id: None,
            pid: note.map(|n| n.process.pid),
            lock_id: None,
            operation: None,
            since: None,
            evidence: vec![format!("ticket {} is held", waiter.number)],
        }
    }

    /// A job that is to have the repository first.
    pub(super) fn job_before_in_line(repository: &str, job: &JobId) -> HeldBy {
        HeldBy {
            repository: repository.to_owned(),
            holder: format!("job {job}, next in line"),
            job_id: Some(job.clone()),
            pid: None,
            lock_id: None,
            operation: None,
            since: None,
            evidence: vec![format!("job {job} is before in the queue, and a scheduler is at work")],
        }
    }
}

impl std::fmt::Display for HeldBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.holder)?;
        self.since.map_or(Ok(()), |since| write!(f, " since {since}"))
    }
}
