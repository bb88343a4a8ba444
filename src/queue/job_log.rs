//! The queue's log for one job: opened once, followed from a position on, appended to.

use memchr::memmem::Finder;

use super::record::{Operation, Record};
use super::store::{QueueError, append_to, open_log};
use crate::audit::Actor;
use crate::durable::log::{Log, Position, ReadRequest, read};
use crate::state::{JobId, StateDir};

/// The records about one job after a position in the log.
#[derive(Debug)]
pub(crate) struct RecordsBehind {
    /// The records with their numbers, in order.
    pub records: Vec<(u64, Record)>,
    /// Whether no record in between is missing: a checkpoint removes records that a snapshot covers.
    pub is_complete: bool,
}

/// The log, with the position up to which one job's records are known.
#[derive(Debug)]
pub(crate) struct JobLog {
    dir: StateDir,
    log: Log,
    job: JobId,
    /// The id as the log has it: it may contain quotation marks.
    needle: String,
    reached: Position,
}

impl JobLog {
    /// Opens the log, to be followed from this position on.
    pub(crate) fn open(dir: &StateDir, job: &JobId, from: Position) -> Result<JobLog, QueueError> {
        let (log, needle) = (open_log(dir)?, serde_json::to_string(job)?);
        Ok(JobLog { dir: dir.clone(), log, job: job.clone(), needle, reached: from })
    }

    /// The position up to which the job's records are known.
    pub(crate) fn reached(&self) -> Position {
        self.reached
    }

    /// Follows the log from another position on.
    pub(crate) fn go_to(&mut self, position: Position) {
        self.reached = position;
    }

    /// The job's records after the position, synced. Reads no more of the log than was written since then.
    pub(crate) fn behind(&mut self) -> Result<RecordsBehind, QueueError> {
        let (from, until) = (self.reached, self.log.end());
        if until == from {
            return Ok(RecordsBehind { records: Vec::new(), is_complete: true });
        }
        self.log.commit(until.last_seq)?;
        let folder = self.dir.paths.queue_log();
        let state_id = self.dir.identity.state_id.to_string();
        let request = ReadRequest { folder: &folder, state_id: Some(&state_id), from, until: Some(until) };
        let finder = Finder::new(&self.needle);
        let mut records = Vec::new();
        let summary = read(request, |seq, payload| {
            if finder.find(payload).is_some()
                && let Ok(record) = Record::from_line(payload)
                && record.operation.concerns(&self.job)
            {
                records.push((seq, record));
            }
        })?;
        self.reached = until;
        Ok(RecordsBehind { records, is_complete: summary.missing.is_empty() })
    }

    /// Appends operations durably; see [`super::append`].
    #[track_caller]
    pub(crate) fn append(&self, actor: &Actor, operations: &[Operation]) -> Result<(), QueueError> {
        self.dir.disk.reached();
        append_to(&self.dir, &self.log, actor, operations).map(drop)
    }
}

/// The records about one job from a sequence number on, synced. Reads the log from there, not the queue.
pub fn records_since(dir: &StateDir, seq: u64, job: &JobId) -> Result<Vec<(u64, Record)>, QueueError> {
    let from = Position { last_seq: seq.saturating_sub(1), ..Position::default() };
    Ok(JobLog::open(dir, job, from)?.behind()?.records)
}
