//! Whether a claim is still its job's present one and not cancelled, by the log.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use super::settings::SuperviseError;
use crate::durable::log::Position;
use crate::queue::{Claim, EndedBy, Job, JobDocument, JobId, JobStatus};
use crate::queue::{JobLog, Operation, Queue, Record, RecordsBehind};
use crate::state::StateDir;
use crate::system::FolderWatch;

/// The shortest time between two reads of a busy log.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);
/// The longest time between two reads of a watched log: the folder may have been replaced.
const REASSURANCE: Duration = Duration::from_secs(30);
/// The time between two reads of a log without a watch: none was wanted, all instances of inotify are taken, or
/// the file system does not support it.
const UNWATCHED: Duration = Duration::from_secs(10);

/// The status of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClaimStatus {
    /// The claim is the job's present one.
    Current,
    /// The claim is the job's present one, and the job was cancelled.
    Cancelled(EndedBy),
    /// The claim is not the job's present one; the reason.
    Lost(String),
}

/// The status of a claim after these records, which follow those that led to `standing`.
fn after(standing: ClaimStatus, records: &[(u64, Record)], claim: Claim) -> ClaimStatus {
    records.iter().fold(standing, |standing, (seq, record)| match (&standing, &record.operation) {
        (ClaimStatus::Lost(_), _) => standing,
        (ClaimStatus::Current, Operation::Cancel { .. }) => {
            let by = record.actor.by.clone();
            ClaimStatus::Cancelled(EndedBy { at: record.at, by, signal: None, pid: None, uid: None })
        }
        (_, Operation::Unclaim { claim: other, .. }) if *other == claim => {
            ClaimStatus::Lost(format!("it was given back (record {seq})"))
        }
        (_, Operation::End(end)) if end.claim == claim => {
            ClaimStatus::Lost(format!("its attempt has ended (record {seq})"))
        }
        _ => standing,
    })
}

fn standing_in_queue(dir: &StateDir, job: &JobId, claim: Claim) -> Result<ClaimStatus, SuperviseError> {
    let queue = Queue::open(dir)?;
    Ok(match queue.state().get(job) {
        None => ClaimStatus::Lost("there is no such job".to_owned()),
        Some(job) if job.status != JobStatus::Running || job.run_state().claim != Some(claim) => {
            let under = job.run_state().claim.map_or(String::new(), |other| format!(" under claim {other}"));
            ClaimStatus::Lost(format!(
                "the job is {}{under}, and not running under claim {claim}",
                job.status
            ))
        }
        Some(job) if job.run_state().cancel_requested => {
            let nobody =
                EndedBy { at: dir.clock.now(), by: String::new(), signal: None, pid: None, uid: None };
            ClaimStatus::Cancelled(job.run_state().cancel.clone().unwrap_or(nobody))
        }
        Some(_) => ClaimStatus::Current,
    })
}

/// The log's decisions about an attempt, followed from its claim on.
///
/// inotify(7) reports the log's growth by any process of this machine, even in another namespace; without a
/// watch, the log is read at intervals. Nothing depends on a signal: a recorded cancel is carried out even if the
/// process that recorded it was killed right after.
#[derive(Debug)]
pub(super) struct Decisions<'a> {
    dir: &'a StateDir,
    job: &'a JobId,
    claim: Claim,
    standing: ClaimStatus,
    log: JobLog,
    /// The job's records since its claim; `None` when some of them are missing.
    records: Option<Vec<(u64, Record)>>,
    watch: Option<FolderWatch>,
    is_changed: bool,
    /// Set after a change: a writer publishes its records a moment after inotify reports them, so read once more.
    is_fresh: bool,
    looked: Instant,
}

impl<'a> Decisions<'a> {
    /// Reads the log from the claim on, or the whole queue when that part of the log has been removed. `before` is
    /// a position not long before the claim, if one is known.
    pub(super) fn follow(
        dir: &'a StateDir,
        job: &'a JobId,
        claim: Claim,
        before: Option<Position>,
        is_watched: bool,
    ) -> Result<Decisions<'a>, SuperviseError> {
        let watch = is_watched.then(|| watch_folder(&dir.paths.queue_log()).ok()).flatten();
        let by_number = Position { last_seq: claim.seq().saturating_sub(1), ..Position::default() };
        let mut log = JobLog::open(dir, job, before.unwrap_or(by_number))?;
        let mut records = since_claim(log.behind()?, claim);
        if records.is_none() && before.is_some() {
            // The segment of that position was written anew, or removed.
            log.go_to(by_number);
            records = since_claim(log.behind()?, claim);
        }
        let standing = match &records {
            Some(records) => after(ClaimStatus::Current, records, claim),
            None => standing_in_queue(dir, job, claim)?,
        };
        let (is_changed, is_fresh, looked) = (false, false, Instant::now());
        Ok(Decisions { dir, job, claim, standing, log, records, watch, is_changed, is_fresh, looked })
    }

    /// The status after the last read.
    pub(super) fn standing(&self) -> &ClaimStatus {
        &self.standing
    }

    /// The recorded cancel, as of the last read.
    pub(super) fn cancelled(&self) -> Option<&EndedBy> {
        match &self.standing {
            ClaimStatus::Cancelled(by) => Some(by),
            ClaimStatus::Current | ClaimStatus::Lost(_) => None,
        }
    }

    /// Reads the new records.
    pub(super) fn look(&mut self) -> Result<(), SuperviseError> {
        (self.is_fresh, self.is_changed, self.looked) = (self.is_changed, false, Instant::now());
        let behind = match self.log.behind() {
            Ok(behind) => behind,
            Err(_) => {
                // The files that all writers share were made anew.
                self.log = JobLog::open(self.dir, self.job, self.log.reached())?;
                self.log.behind()?
            }
        };
        if behind.is_complete {
            self.standing = after(self.standing.clone(), &behind.records, self.claim);
        } else {
            (self.standing, self.records) = (standing_in_queue(self.dir, self.job, self.claim)?, None);
        }
        if let Some(records) = &mut self.records {
            records.extend(behind.records);
        }
        Ok(())
    }

    /// The log, as it was opened for these reads.
    pub(super) fn log(&self) -> &JobLog {
        &self.log
    }

    /// The job's records after its claim as of the last read; `None` when some of them are missing.
    pub(super) fn records(&self) -> Option<&[(u64, Record)]> {
        self.records.as_deref()
    }

    /// Reads the log when it has changed, but not too often.
    pub(super) fn look_if_due(&mut self) -> Result<(), SuperviseError> {
        self.is_changed |= self.watch.as_ref().is_some_and(FolderWatch::take);
        if self.until_next().is_zero() { self.look() } else { Ok(()) }
    }

    /// A descriptor that becomes readable when the log has changed; `None` while a read would be too early.
    pub(super) fn changes(&self) -> Option<BorrowedFd<'_>> {
        let watch = self.watch.as_ref().filter(|_| self.looked.elapsed() >= BETWEEN_LOOKS);
        watch.map(AsFd::as_fd)
    }

    /// The time until something is due.
    pub(super) fn until_next(&self) -> Duration {
        let longest = if self.watch.is_some() { REASSURANCE } else { UNWATCHED };
        let is_soon = self.is_changed || self.is_fresh || self.changes().is_none() && self.watch.is_some();
        let pause = if is_soon { BETWEEN_LOOKS } else { longest };
        pause.saturating_sub(self.looked.elapsed())
    }
}

/// The records after the one that made the claim; `None` when that one, or another, is missing.
fn since_claim(behind: RecordsBehind, claim: Claim) -> Option<Vec<(u64, Record)>> {
    let begun = behind.records.iter().position(|record| begins(record, claim))?;
    behind.is_complete.then(|| behind.records.into_iter().skip(begun + 1).collect())
}

fn begins((seq, record): &(u64, Record), claim: Claim) -> bool {
    Claim::of_record(*seq) == claim
        && matches!(record.operation, Operation::Claim { .. } | Operation::Found { .. })
}

fn watch_folder(folder: &Path) -> rustix::io::Result<FolderWatch> {
    let watch = FolderWatch::begin()?;
    watch.add(folder)?;
    Ok(watch)
}

/// The job as it was claimed: from its record file, else from the queue.
pub(super) fn claimed_job(dir: &StateDir, id: &JobId, claim: Claim) -> Result<Option<Job>, SuperviseError> {
    let record = crate::jobs::record::read(dir, id)?;
    if let Some(job) = record.whole().filter(|d: &&JobDocument| is_of_claim(d, id, claim)) {
        return Ok(Some(job.clone().into()));
    }
    let queue = Queue::open(dir)?;
    Ok(queue.state().get(id).filter(|job| job.run_state().claim == Some(claim)).cloned())
}

fn is_of_claim(document: &JobDocument, id: &JobId, claim: Claim) -> bool {
    document.job_id == *id && document.run_state.as_ref().is_some_and(|c| c.claim == Some(claim))
}
