//! Recovery of the queue: reads all of it, keeps unreadable parts, and leaves files that read clean.
//!
//! Segments and snapshots are removed only after a synced snapshot holds their content, and unreadable parts
//! only after a copy is in quarantine. After a kill at any point, the next run finds the rest.

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
    /// Damaged places in the log, except torn ends.
    pub records_damaged: u64,
    /// Bytes that a crash had left half written at the end.
    pub torn_bytes: u64,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
    /// When; `None` when there was no recovery yet.
    pub at: Option<Timestamp>,
}

/// A recovered queue, and the damage that was found.
#[derive(Debug)]
pub struct Repaired {
    /// The queue, ready for use.
    pub queue: Queue,
    /// A summary for reports.
    pub recovered: RecoveredQueue,
    /// Every damaged place in any segment.
    pub damage: Vec<Damage>,
    /// Sequence numbers of records that no file has any more.
    pub missing: Vec<(u64, u64)>,
    /// Snapshots that could not be used, and why.
    pub damaged_snapshots: Vec<(SnapshotFile, String)>,
    /// Records that could not be applied, and why.
    pub refused: Vec<(u64, String)>,
    /// Whether jobs may be missing, so that their workspaces must be searched.
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
    // The shared page is a hint; after a crash only the files count.
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

/// Damage of the queue's files, found without touching them.
#[derive(Debug)]
pub(crate) struct Examined {
    /// The queue, as far as it can be read.
    pub state: QueueState,
    /// Every damaged place in any segment, a half-written end included.
    pub damage: Vec<Damage>,
    /// Sequence numbers of records that no file has any more.
    pub missing: Vec<(u64, u64)>,
    /// Snapshots that could not be used, and why.
    pub damaged_snapshots: Vec<(SnapshotFile, String)>,
    /// Records that could not be applied, and why.
    pub refused: Vec<(u64, String)>,
}

impl Examined {
    /// Bytes at the log's end that are no record.
    pub(crate) fn torn_bytes(&self) -> u64 {
        self.damage.iter().filter(|d| d.kind == DamageKind::TornTail).map(|d| d.len).sum()
    }
}

/// Examines the queue's files as they are. Changes nothing, not even a half-written end: a writer may be writing
/// it at this moment, so it counts as damage only if a second reading finds it too.
pub(crate) fn examine(dir: &StateDir) -> Result<Examined, QueueError> {
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

/// Reads every segment, whether a snapshot covers it or not.
fn whole_log(dir: &StateDir) -> Result<ReadSummary, QueueError> {
    let folder = dir.paths.queue_log();
    let first = SegmentFile::list(&folder)?.first().map_or(1, |s| s.first_seq);
    let from = Position { last_seq: first.saturating_sub(1), ..Position::default() };
    let state_id = dir.identity.state_id.to_string();
    Ok(read(ReadRequest { folder: &folder, state_id: Some(&state_id), from, until: None }, |_, _| {})?)
}

/// Repairs the damage that [`recover`] found: first a new snapshot is written, then damaged snapshots go to
/// quarantine and damaged segments are rewritten without unreadable parts.
///
/// # Errors
/// The system's error. The next run repairs what is left.
pub fn repair_files(dir: &StateDir, repaired: &mut Repaired) -> Result<(), QueueError> {
    if !repaired.needs_repair() {
        return Ok(());
    }
    let at = dir.clock.now().to_string();
    for (file, why) in &repaired.damaged_snapshots {
        dir.quarantine().keep_file(&file.path, why, &at)?;
    }
    // This comes before the checkpoint, which may remove the segment.
    repaired.queue.log()?.keep_damage(&repaired.damage)?;
    let newest = repaired.queue.checkpoint()?.map(|c| c.snapshot);
    for (file, why) in &repaired.damaged_snapshots {
        // The new snapshot may have taken the damaged one's name, or the checkpoint may have removed it.
        if newest.as_ref().is_none_or(|n| n.path != file.path) && file.path.exists() {
            dir.quarantine().take_file(&file.path, why, &at)?;
        }
    }
    repaired.queue.log()?.drop_damage(&repaired.damage)?;
    Ok(())
}
