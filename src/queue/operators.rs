//! Operators' changes of the queue, as entries of the audit trail.
//!
//! Every record names its actor and reason, so the log is its own audit trail until a queue checkpoint removes
//! segments that no snapshot needs any more. Before that, the operators' records in these segments are copied to
//! the trail, with their sequence numbers. A kill in between leaves a record in both; readers count it once, by
//! its number.

use super::record::{Operation, Record};
use crate::audit::{AuditError, Entry, Trail};
use crate::durable::DiskError;
use crate::durable::log::{Position, ReadRequest, SegmentFile, read};
use crate::findings::Object;
use crate::state::StateDir;

/// How many entries are written with one sync.
const AT_ONCE: usize = 1_000;

/// Whether a person or a client made the change, not a daemon or a supervisor in the course of its work.
pub fn is_by_operator(record: &Record) -> bool {
    let by = record.actor.by.as_str();
    let is_work = matches!(record.operation, Operation::Claim { .. } | Operation::Unclaim { .. });
    !is_work && !matches!(by, "" | "daemon" | "supervisor")
}

/// The records in the log that `wanted` selects, with their sequence numbers. Changes nothing.
pub fn operator_records(
    dir: &StateDir,
    wanted: impl Fn(&Record) -> bool,
) -> Result<Vec<(u64, Record)>, DiskError> {
    records_until(dir, u64::MAX, wanted)
}

fn records_until(
    dir: &StateDir,
    last: u64,
    wanted: impl Fn(&Record) -> bool,
) -> Result<Vec<(u64, Record)>, DiskError> {
    let folder = dir.paths.queue_log();
    let first = SegmentFile::list(&folder)?.first().map_or(1, |s| s.first_seq);
    let from = Position { last_seq: first.saturating_sub(1), ..Position::default() };
    let state_id = dir.identity.state_id.to_string();
    let mut found = Vec::new();
    let request = ReadRequest { folder: &folder, state_id: Some(&state_id), from, until: None };
    read(request, |seq, payload| {
        if seq <= last
            && let Ok(record) = Record::from_line(payload)
            && wanted(&record)
        {
            found.push((seq, record));
        }
    })?;
    Ok(found)
}

/// One entry for each job that a record is about.
pub fn entries_of(seq: u64, record: &Record) -> Vec<Entry> {
    let entry = |action: &str, object: Object, detail: String| {
        let mut entry = Entry::done(record.at, &record.actor, action, object, detail);
        entry.queue_seq = Some(seq);
        entry
    };
    let job = |action: &str, id: &super::JobId, detail: String| entry(action, Object::job(id), detail);
    let submitted = |s: &super::record::Submission| {
        let repository = s.repository.as_ref().map(|r| format!("repository {r}"));
        job("submit", &s.job, repository.unwrap_or_default())
    };
    match &record.operation {
        Operation::Submit(s) => vec![submitted(s)],
        Operation::SubmitBatch { jobs } => jobs.iter().map(submitted).collect(),
        Operation::Claim { job: id, attempt, .. } => vec![job("claim", id, format!("attempt {attempt}"))],
        Operation::Found { job: id, attempt, .. } => vec![job("found", id, format!("attempt {attempt}"))],
        Operation::Unclaim { job: id, reason, .. } => vec![job("unclaim", id, reason.clone())],
        Operation::End(end) => {
            let how = serde_json::to_value(end.outcome).unwrap_or_default();
            let how = how.as_str().unwrap_or_default().to_owned();
            let why = end.reason.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
            vec![job("end", &end.job, format!("attempt {} {how}{why}", end.attempt))]
        }
        Operation::Cancel { job: id } => vec![job("cancel", id, String::new())],
        Operation::Resume { job: id, fresh, .. } => {
            let from = if *fresh { "from the start" } else { "from its checkpoint, if it has one" };
            vec![job("resume", id, from.to_owned())]
        }
        Operation::Restore { document, .. } => {
            vec![job("restore", &document.job_id, format!("as {}", document.status))]
        }
        Operation::Rebuilt { job: id, .. } => vec![job("rebuilt", id, "its own record was lost".to_owned())],
        Operation::Remove { jobs } => jobs.iter().map(|id| job("remove", id, String::new())).collect(),
    }
}

/// Copies the operators' records up to a sequence number to the audit trail.
pub(super) fn keep_operator_records(dir: &StateDir, last: u64) -> Result<(), AuditError> {
    let records = records_until(dir, last, is_by_operator)
        .map_err(|source| AuditError { folder: dir.paths.audit_log(), source: source.into() })?;
    let entries: Vec<Entry> = records.iter().flat_map(|(seq, record)| entries_of(*seq, record)).collect();
    if entries.is_empty() {
        return Ok(());
    }
    let trail = Trail::open(dir)?;
    entries.chunks(AT_ONCE).try_for_each(|chunk| trail.record_all(chunk))
}
