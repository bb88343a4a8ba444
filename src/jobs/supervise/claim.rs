//! Whether a claim is still its job's present one, as the log tells.

use super::settings::SuperviseError;
use crate::queue::{Job, JobDocument, JobId, JobStatus};
use crate::queue::{Operation, Queue, Record, records_since};
use crate::state::StateDir;

/// How a claim stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is the present one.
    Current,
    /// It is the present one, and somebody wants the job's end.
    Cancelled,
    /// It is not.
    Lost(String),
}

/// Reads the log from the claim on; the whole queue when that part of the log is not kept any more.
pub(super) fn standing(dir: &StateDir, job: &JobId, claim: u64) -> Result<Standing, SuperviseError> {
    let records = records_since(dir, claim, job)?;
    match standing_of(&records, claim) {
        Some(standing) => Ok(standing),
        None => standing_in_queue(dir, job, claim),
    }
}

/// What the records from the claim on say; `None` when the claim itself is not among them.
fn standing_of(records: &[(u64, Record)], claim: u64) -> Option<Standing> {
    let (first, later) = records.split_first()?;
    let is_claim = matches!(first.1.operation, Operation::Claim { .. } | Operation::Found { .. });
    if first.0 != claim || !is_claim {
        return None;
    }
    let mut standing = Standing::Current;
    for (seq, record) in later {
        let ended_by = |what: &str| Some(Standing::Lost(format!("{what} (record {seq})")));
        match &record.operation {
            Operation::Cancel { .. } => standing = Standing::Cancelled,
            Operation::Unclaim { claim: other, .. } if *other == claim => {
                return ended_by("it was given back");
            }
            Operation::End(end) if end.claim == claim => return ended_by("its attempt has ended"),
            _ => {}
        }
    }
    Some(standing)
}

fn standing_in_queue(dir: &StateDir, job: &JobId, claim: u64) -> Result<Standing, SuperviseError> {
    let queue = Queue::open(dir)?;
    Ok(match queue.state().get(job) {
        None => Standing::Lost("there is no such job".to_owned()),
        Some(job) if job.status != JobStatus::Running || job.course().claim != Some(claim) => {
            Standing::Lost(format!("the job is {} by claim {:?}", job.status, job.course().claim))
        }
        Some(job) if job.course().cancel_requested => Standing::Cancelled,
        Some(_) => Standing::Current,
    })
}

/// The job as it was claimed: from its record file, else from the queue.
pub(super) fn claimed_job(dir: &StateDir, id: &JobId, claim: u64) -> Result<Option<Job>, SuperviseError> {
    let record = crate::jobs::record::read(dir, id)?;
    if let Some(job) = record.whole().filter(|d: &&JobDocument| is_of_claim(d, id, claim)) {
        return Ok(Some(job.clone().into()));
    }
    let queue = Queue::open(dir)?;
    Ok(queue.state().get(id).filter(|job| job.course().claim == Some(claim)).cloned())
}

fn is_of_claim(document: &JobDocument, id: &JobId, claim: u64) -> bool {
    document.job_id == *id && document.course.as_ref().is_some_and(|c| c.claim == Some(claim))
}
