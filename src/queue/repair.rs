//! Recovery of the queue: read it whole, keep what cannot be read, and leave files that read clean.
//!
//! Nothing is removed before what it held is in a synced snapshot, and nothing unreadable is removed
//! before a copy of it is in quarantine. Killed at any point, the next run finds the rest.

use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::open::{Method, Replayed, replay};
use super::snapshot::{SnapshotError, SnapshotFile};
use super::state::QueueState;
use super::store::{Queue, QueueError, open_log};
use crate::durable::log::{Damage, DamageKind, Position, ReadRequest, ReadSummary, SegmentFile, read};
use crate::state::{StateDir, Timestamp};

/// How the queue came back, for reports.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "QueueRecovered")]
#[serde(default)]
pub struct RecoveredQueue {
    /// From what.
    pub method: Method,
    /// The snapshot used; 0 for none.
    pub snapshot_seq: u64,
    /// Records applied after it.
    pub records_replayed: u64,
    /// Damaged places in the log, torn ends not counted.
    pub records_damaged: u64,
    /// Bytes that a crash had left half written at the end.
    pub torn_bytes: u64,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
    /// When; `None` when there was no recovery yet.
    pub at: Option<Timestamp>,
}

/// A queue that was recovered, and what had been wrong.
#[derive(Debug)]
pub struct Repaired {
    /// Fit for use.
    pub queue: Queue,
    /// For reports.
    pub recovered: RecoveredQueue,
    /// Every damaged place in any segment.
    pub damage: Vec<Damage>,
    /// Sequence numbers that nothing tells of any more.
    pub missing: Vec<(u64, u64)>,
    /// Snapshots that could not be used, and why.
    pub damaged_snapshots: Vec<(SnapshotFile, String)>,
    /// Records that could not be applied, and why.
    pub refused: Vec<(u64, String)>,
    /// Whether jobs may be missing, so that what their workspaces tell has to be looked at.
    pub may_lack_jobs: bool,
}

impl Repaired {
    /// Whether anything was wrong that a new snapshot and clean segments would repair.
    pub fn needs_repair(&self) -> bool {
        !self.damage.is_empty()
            || !self.missing.is_empty()
            || !self.damaged_snapshots.is_empty()
            || !self.refused.is_empty()
    }
}

/// Reads the queue, having verified and synced the log. Changes nothing but the log's end.
pub fn recover(dir: &StateDir) -> Result<Repaired, QueueError> {
    let (begun, at) = (Instant::now(), Some(dir.clock.now()));
    let log = open_log(dir)?;
    // What the shared page says is a hint; after a crash only the files count.
    let pass = log.locked(|_| -> Result<ReadSummary, QueueError> { whole_log(dir) })?;
    log.verify()?;
    let torn_bytes = log.cut_bytes().max(pass.torn_bytes());
    drop(log);
    let mut queue = Queue::open(dir)?;
    queue.check_older_snapshots()?;
    let replayed = queue.replayed();
    let recovered = RecoveredQueue {
        method: replayed.method,
        snapshot_seq: replayed.snapshot_seq,
        records_replayed: replayed.log.records,
        records_damaged: pass.damage.iter().filter(|d| d.kind != DamageKind::TornTail).count() as u64,
        torn_bytes,
        duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        at,
    };
    let Replayed { refused, undecodable, .. } = replayed;
    let mut unfit: Vec<(u64, String)> = refused.iter().map(|(seq, r)| (*seq, r.to_string())).collect();
    unfit.extend(undecodable.iter().cloned());
    Ok(Repaired {
        recovered,
        damage: pass.damage,
        missing: replayed.log.missing.clone(),
        damaged_snapshots: replayed.damaged_snapshots.clone(),
        refused: unfit,
        may_lack_jobs: replayed.may_lack_jobs(),
        queue,
    })
}

/// What is wrong with the queue's files, seen without touching them.
#[derive(Debug)]
pub struct Examined {
    /// The queue, as far as it can be read.
    pub state: QueueState,
    /// Every damaged place in any segment, a half-written end included.
    pub damage: Vec<Damage>,
    /// Sequence numbers that nothing tells of any more.
    pub missing: Vec<(u64, u64)>,
    /// Snapshots that could not be used, and why.
    pub damaged_snapshots: Vec<(SnapshotFile, String)>,
    /// Records that could not be applied, and why.
    pub refused: Vec<(u64, String)>,
}

impl Examined {
    /// Bytes at the log's end that are no record.
    pub fn torn_bytes(&self) -> u64 {
        self.damage.iter().filter(|d| d.kind == DamageKind::TornTail).map(|d| d.len).sum()
    }
}

/// Looks at the queue's files as they are. Changes nothing: not even a half-written end, which somebody may
/// be writing at this moment and which therefore counts only when it is there twice.
pub fn examine(dir: &StateDir) -> Result<Examined, QueueError> {
    let first = whole_log(dir)?;
    let torn = |d: &Damage| d.kind == DamageKind::TornTail;
    let mut pass = if first.damage.iter().any(torn) { whole_log(dir)? } else { first.clone() };
    pass.damage.retain(|d| !torn(d) || first.damage.contains(d));
    let replayed = replay(dir, None)?;
    let Replayed { state, log, mut damaged_snapshots, refused, undecodable, snapshot_seq, .. } = replayed;
    let state_id = dir.identity.state_id.to_string();
    for file in SnapshotFile::list(&dir.paths.queue())?.into_iter().filter(|s| s.seq < snapshot_seq) {
        match file.check(&state_id) {
            Err(SnapshotError::Damaged { why, .. }) => damaged_snapshots.push((file, why)),
            // A checkpoint of another process has removed it.
            Err(SnapshotError::Disk(e)) if !e.is_not_found() => return Err(e.into()),
            Err(SnapshotError::Disk(_)) | Ok(()) => {}
        }
    }
    let mut unfit: Vec<(u64, String)> = refused.iter().map(|(seq, r)| (*seq, r.to_string())).collect();
    unfit.extend(undecodable);
    Ok(Examined { state, damage: pass.damage, missing: log.missing, damaged_snapshots, refused: unfit })
}

/// Every segment there is, whether a snapshot covers it or not.
fn whole_log(dir: &StateDir) -> Result<ReadSummary, QueueError> {
    let folder = dir.paths.queue_log();
    let first = SegmentFile::list(&folder)?.first().map_or(1, |s| s.first_seq);
    let from = Position { last_seq: first.saturating_sub(1), ..Position::default() };
    let state_id = dir.identity.state_id.to_string();
    Ok(read(ReadRequest { folder: &folder, state_id: Some(&state_id), from, until: None }, |_, _| {})?)
}

/// Repairs what [`recover`] found: a new snapshot first, then damaged snapshots go to quarantine and
/// damaged segments are written again without what cannot be read.
///
/// # Errors
/// What the system says. What is left is repaired by the next run.
pub fn repair_files(dir: &StateDir, repaired: &mut Repaired) -> Result<(), QueueError> {
    if !repaired.needs_repair() {
        return Ok(());
    }
    let at = dir.clock.now().to_string();
    for (file, why) in &repaired.damaged_snapshots {
        dir.quarantine().keep_file(&file.path, why, &at)?;
    }
    // Before the checkpoint, which may remove the segment.
    repaired.queue.log()?.keep_damage(&repaired.damage)?;
    let newest = repaired.queue.checkpoint()?.map(|c| c.snapshot);
    for (file, why) in &repaired.damaged_snapshots {
        // The new one may have taken the damaged one's name, or the checkpoint removed it.
        if newest.as_ref().is_none_or(|n| n.path != file.path) && file.path.exists() {
            dir.quarantine().take_file(&file.path, why, &at)?;
        }
    }
    repaired.queue.log()?.drop_damage(&repaired.damage)?;
    Ok(())
}
