//! Reads the queue: from the newest snapshot, the one before, or the whole log; and reports damage.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw_submission::RawSubmission;
use super::record::Record;
use super::snapshot::{SnapshotError, SnapshotFile};
use super::state::{QueueRefusal, QueueState};
use crate::durable::log::{Position, ReadRequest, ReadSummary, SegmentFile, read};
use crate::durable::{DiskError, IoContext};
use crate::state::StateDir;

/// The approximate length of a submission's record, in bytes.
const TYPICAL_SUBMISSION: u64 = 300;

/// Where the queue came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "QueueMethod")]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The newest snapshot and the log after it.
    Snapshot,
    /// The newest was damaged: the one before and the log after that.
    PreviousSnapshot,
    /// No snapshot could be used: the whole log.
    Log,
    /// None of these was complete: the jobs' own records were added.
    JobRecords,
    /// There was nothing.
    #[default]
    Fresh,
}

/// A queue as read, before any repair, with the damage found.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The state, as far as it could be read.
    pub state: QueueState,
    /// Where it came from.
    pub method: Method,
    /// The snapshot used; 0 for none.
    pub snapshot_seq: u64,
    /// The pass over the log.
    pub log: ReadSummary,
    /// Snapshots that cannot be used, and why.
    pub damaged_snapshots: Vec<(SnapshotFile, String)>,
    /// Records that do not fit the state before them.
    pub refused: Vec<(u64, QueueRefusal)>,
    /// Records that cannot be understood though their checksum is right.
    pub undecodable: Vec<(u64, String)>,
}

impl Replayed {
    /// Whether anything that was acknowledged may be missing.
    pub fn may_lack_jobs(&self) -> bool {
        !self.log.missing.is_empty()
            || self.log.damaged_records() > 0
            || !self.undecodable.is_empty()
            || self.lost_horizon()
    }

    /// Whether the log begins after the state that it is to be applied to.
    fn lost_horizon(&self) -> bool {
        !self.damaged_snapshots.is_empty() && self.method == Method::Fresh
    }

    /// Whether all is well.
    pub fn is_clean(&self) -> bool {
        self.log.damage.is_empty()
            && self.log.missing.is_empty()
            && self.damaged_snapshots.is_empty()
            && self.refused.is_empty()
            && self.undecodable.is_empty()
    }

    /// Applies a line of the log.
    pub(super) fn apply(&mut self, seq: u64, payload: &[u8]) {
        let applied = match RawSubmission::parse(payload) {
            Some(submission) => Ok(self.state.apply_raw_submission(seq, submission)),
            None => Record::from_line(payload).map(|record| self.state.apply(seq, record)),
        };
        match applied {
            Ok(Ok(())) => {}
            Ok(Err(refusal)) => self.refused.push((seq, refusal)),
            Err(why) => self.undecodable.push((seq, why.to_string())),
        }
        self.state.pass(seq);
    }
}

/// Reads the queue up to `until`, or to the end of the files. Changes nothing.
///
/// # Errors
/// The system's error. Damage is not an error; it is part of the result.
pub(super) fn replay(dir: &StateDir, until: Option<Position>) -> Result<Replayed, DiskError> {
    let mut replayed = newest_usable_snapshot(dir)?;
    let from = Position { last_seq: replayed.snapshot_seq, ..Position::default() };
    let folder = dir.paths.queue_log();
    let state_id = dir.identity.state_id.to_string();
    let request = ReadRequest { folder: &folder, state_id: Some(&state_id), from, until };
    replayed.state.reserve(expected_jobs(&folder, replayed.snapshot_seq)?);
    let summary = read(request, |seq, payload| replayed.apply(seq, payload))?;
    if replayed.method == Method::Fresh && summary.records > 0 {
        replayed.method = Method::Log;
    }
    replayed.log = summary;
    Ok(replayed)
}

/// Roughly how many jobs enter with the records after `seq`, if all are submissions. Growing by doubling instead
/// would move every job again each time. Room that is not used is never touched.
fn expected_jobs(folder: &Path, seq: u64) -> Result<usize, DiskError> {
    let segments = SegmentFile::list(folder)?;
    let begin = segments.partition_point(|s| s.first_seq <= seq + 1).saturating_sub(1);
    let sizes = segments[begin..].iter().filter_map(|s| std::fs::metadata(&s.path).ok()).map(|m| m.len());
    Ok(usize::try_from(sizes.sum::<u64>() / TYPICAL_SUBMISSION).unwrap_or(0))
}

fn newest_usable_snapshot(dir: &StateDir) -> Result<Replayed, DiskError> {
    let mut replayed = Replayed::default();
    for file in SnapshotFile::list(&dir.paths.queue())? {
        match file.read(&dir.identity.state_id.to_string()) {
            Ok((header, state)) => {
                let newest = replayed.damaged_snapshots.is_empty();
                replayed.method = if newest { Method::Snapshot } else { Method::PreviousSnapshot };
                replayed.snapshot_seq = header.seq;
                replayed.state = state;
                return Ok(replayed);
            }
            Err(SnapshotError::Damaged { why, .. }) => replayed.damaged_snapshots.push((file, why)),
            Err(SnapshotError::Disk(e)) if e.is_not_found() => {}
            Err(SnapshotError::Disk(e)) => return Err(e.source).context(e.action, &e.path),
        }
    }
    Ok(replayed)
}
