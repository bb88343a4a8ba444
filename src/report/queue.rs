//! Reports on the queue: status, metrics, snapshot, write-ahead log.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::jobs::{JobSummary, summary};
use super::page::{BadCursor, Page, cut};
use crate::durable::log::{DamageKind, Log, Position, ReadRequest, SegmentFile, read};
use crate::durable::{DiskError, IoContext};
use crate::findings::{Finding, Object, catalogue};
use crate::queue::{Counts, Job, JobStatus, Queue, QueueState, RecoveredQueue, Replayed};
use crate::recovery::{HistoryEntry, PhaseStatus, RecoveryRecord};
use crate::state::{StateDir, Timestamp, Word, human};

pub use super::waiting::waiting_for;

/// The queue at a glance.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct QueueStatus {
    pub state: Word,
    pub depth: u64,
    pub counts: Counts,
    pub head: Vec<Waiting>,
    pub recovered: RecoveredQueue,
    pub last_seq: u64,
    pub findings: Vec<Finding>,
}

/// A job in the line.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Waiting {
    pub job_id: String,
    pub position: u64,
    pub priority: i32,
    pub repository: Option<String>,
    pub waiting_for: Option<String>,
    pub not_before: Option<Timestamp>,
}

/// How many jobs `head` shows.
pub(crate) const HEAD: usize = 20;

impl QueueStatus {
    /// Reports on an open queue; `held` are the repositories that a holder other than a job has.
    pub(crate) fn new(
        queue: &Queue,
        recovered: RecoveredQueue,
        held: &BTreeSet<String>,
        findings: Vec<Finding>,
    ) -> QueueStatus {
        let state = queue.state();
        let counts = state.counts();
        let damaged = !queue.replayed().is_clean();
        QueueStatus {
            state: match () {
                () if damaged => "damaged",
                () if not_writable(queue).is_some() => "degraded",
                () => "healthy",
            }
            .into(),
            depth: counts.queued,
            counts,
            head: line(state, held).take(HEAD).collect(),
            recovered,
            last_seq: state.last_seq(),
            findings,
        }
    }
}

/// Returns the waiting line, in the order in which jobs are to start.
pub(crate) fn line<'a>(
    state: &'a QueueState,
    held: &'a BTreeSet<String>,
) -> impl Iterator<Item = Waiting> + 'a {
    (1..).zip(state.queued()).map(move |(position, job)| Waiting {
        job_id: job.id.to_string(),
        position,
        priority: job.priority,
        repository: job.repository.as_deref().map(str::to_owned),
        waiting_for: waiting_for(state, held, job),
        not_before: job.not_before,
    })
}

/// Counters since the queue was made, and how long jobs wait and run.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct QueueMetrics {
    pub enqueued_total: u64,
    pub started_total: u64,
    pub finished_total: Finished,
    pub requeued_total: u64,
    pub resumed_total: u64,
    pub restored_total: u64,
    pub recoveries_total: u64,
    pub records_replayed_total: u64,
    pub records_damaged_total: u64,
    pub checkpoints_total: u64,
    pub wait_ms: Percentiles,
    pub run_ms: Percentiles,
}

/// Ended attempts by outcome.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Finished {
    pub succeeded: u64,
    pub failed: u64,
    pub timed_out: u64,
    pub crashed: u64,
    pub cancelled: u64,
}

/// What recoveries and checkpoints have counted so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(default)]
#[allow(missing_docs)]
pub(crate) struct RecoveryTotals {
    pub recoveries: u64,
    pub records_replayed: u64,
    pub records_damaged: u64,
}

/// Nearest-rank percentiles, milliseconds; `null` without a value.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Percentiles {
    pub p50: Option<i64>,
    pub p90: Option<i64>,
    pub p99: Option<i64>,
}

impl Percentiles {
    /// Returns the percentiles of these values.
    pub(crate) fn of(mut values: Vec<i64>) -> Percentiles {
        values.sort_unstable();
        let rank = |p: usize| values.get((values.len() * p).div_ceil(100).max(1) - 1).copied();
        Percentiles { p50: rank(50), p90: rank(90), p99: rank(99) }
    }
}

impl RecoveryTotals {
    /// Returns the totals of the recoveries that the history keeps, the last hundred.
    pub(crate) fn of(history: &[HistoryEntry]) -> RecoveryTotals {
        let phases = history.iter().flat_map(|recovery| &recovery.phases).filter(|p| p.phase == "queue");
        let mut totals = RecoveryTotals::default();
        for phase in phases.filter(|p| matches!(p.status, PhaseStatus::Succeeded | PhaseStatus::Degraded)) {
            totals.recoveries += 1;
            totals.records_replayed += phase.done;
            totals.records_damaged +=
                phase.codes.get(catalogue::LOG_RECORD_DAMAGED.code).copied().unwrap_or(0);
        }
        totals
    }
}

/// Returns how the queue was recovered the last time; an empty report when there was no recovery yet.
pub(crate) fn last_recovered(last: Option<&RecoveryRecord>) -> RecoveredQueue {
    let detail = last.and_then(|record| record.details.get("queue"));
    detail.and_then(|value| serde_json::from_value(value.clone()).ok()).unwrap_or_default()
}

/// Returns the damage of the queue's files now, as far as reading the queue met it.
pub fn findings(replayed: &Replayed) -> Vec<Finding> {
    let mend = |finding: Finding| finding.with_next("recoveryctl recover");
    let mut found = Vec::new();
    for place in replayed.log.damage.iter().filter(|d| d.kind != DamageKind::TornTail) {
        let sentence =
            format!("{} bytes at offset {} cannot be read and are passed over", place.len, place.offset);
        let file = Object::file(&place.path);
        found.push(mend(Finding::new(&catalogue::LOG_RECORD_DAMAGED, file, sentence)));
    }
    for (first, last) in &replayed.log.missing {
        let sentence = format!("{} in no file that can be read", human::numbers("record", *first, *last));
        found.push(mend(Finding::new(&catalogue::LOG_RECORDS_MISSING, Object::Queue, sentence)));
    }
    for (file, why) in &replayed.damaged_snapshots {
        let object = Object::file(&file.path);
        found.push(mend(Finding::new(&catalogue::SNAPSHOT_DAMAGED, object, why.clone())));
    }
    let refused = replayed.refused.iter().map(|(seq, why)| (seq, why.to_string()));
    let strange = replayed.undecodable.iter().map(|(seq, why)| (seq, why.clone()));
    for (seq, why) in refused.chain(strange) {
        let sentence = format!("record {seq} changes nothing: {why}");
        found.push(mend(Finding::new(
            &catalogue::LOG_RECORD_REFUSED,
            Object::Record(seq.to_string()),
            sentence,
        )));
    }
    found
}

/// Returns the finding that the disk cannot be written, if so.
pub(crate) fn not_writable(queue: &Queue) -> Option<Finding> {
    let root = queue.dir().paths.root();
    let sentence = match queue.unwritable() {
        Some(why) => format!("the queue can only be looked at: {why}"),
        None if crate::system::is_full(root) => format!("no room is left on the disk of {}", root.display()),
        None => return None,
    };
    Some(Finding::new(&catalogue::DISK_NOT_WRITABLE, Object::Disk, sentence))
}

impl QueueMetrics {
    /// Makes the metrics from the jobs that are still known and the totals.
    pub(crate) fn new(state: &QueueState, recoveries: RecoveryTotals) -> QueueMetrics {
        let totals = state.totals();
        let (mut waits, mut runs) = (Vec::new(), Vec::new());
        for job in state.jobs() {
            let run = job.run_state();
            let Some(started) = run.started_at else { continue };
            if job.attempt == 1 {
                waits.push(started.millis_since(job.submitted_at).max(0));
            }
            if let Some(finished) = run.finished_at {
                runs.push(finished.millis_since(started).max(0));
            }
        }
        let f = totals.finished;
        QueueMetrics {
            enqueued_total: totals.enqueued + totals.restored,
            started_total: totals.started,
            finished_total: Finished {
                succeeded: f.succeeded,
                failed: f.failed,
                timed_out: f.timed_out,
                crashed: f.crashed,
                cancelled: f.cancelled,
            },
            requeued_total: totals.requeued,
            resumed_total: totals.resumed,
            restored_total: totals.restored,
            recoveries_total: recoveries.recoveries,
            records_replayed_total: recoveries.records_replayed,
            records_damaged_total: recoveries.records_damaged,
            checkpoints_total: totals.checkpoints,
            wait_ms: Percentiles::of(waits),
            run_ms: Percentiles::of(runs),
        }
    }
}

/// Every job, in queue order: what waits first, as it is to start; then the rest as it entered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct QueueSnapshot {
    pub seq: u64,
    pub taken_at: Timestamp,
    pub jobs: Vec<JobSummary>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

impl QueueSnapshot {
    /// Reports on the queue as it is now.
    pub(crate) fn new(
        state: &QueueState,
        held: &BTreeSet<String>,
        at: Timestamp,
        page: &Page,
    ) -> Result<QueueSnapshot, BadCursor> {
        let waiting = state.queued();
        let rest = state.jobs().filter(|j| j.status != JobStatus::Queued);
        // The cursor counts places in exactly this order.
        let ordered: Vec<(u64, &Job)> = (1..).zip(waiting.chain(rest)).collect();
        let total = ordered.len() as u64;
        let place = |(n, _): &(u64, &Job)| crate::queue::QueuePosition { seq: *n, index: 0 };
        let (part, next_cursor) = cut(ordered, page, place)?;
        let jobs = part.into_iter().map(|(n, job)| {
            let mut job = summary(state, held, job);
            job.position = job.position.or((job.status == JobStatus::Queued).then_some(n));
            job
        });
        Ok(QueueSnapshot { seq: state.last_seq(), taken_at: at, jobs: jobs.collect(), total, next_cursor })
    }
}

/// The log on disk.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct WalStatus {
    pub segments: Vec<SegmentStatus>,
    pub last_seq: u64,
    /// None when the disk cannot be written, and so nobody knows.
    pub synced_seq: Option<u64>,
    pub snapshot_seq: u64,
    pub records_since_checkpoint: u64,
    pub bytes: u64,
    pub torn_bytes: u64,
    pub damaged_records: u64,
    pub missing: Vec<(u64, u64)>,
}

/// One segment.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct SegmentStatus {
    pub file: String,
    pub first_seq: u64,
    pub last_seq: u64,
    pub records: u64,
    pub bytes: u64,
    pub damaged_records: u64,
}

impl WalStatus {
    /// Reads every existing segment, whether a snapshot covers it or not.
    pub(crate) fn read(dir: &StateDir, queue: &Queue) -> Result<WalStatus, DiskError> {
        let folder = dir.paths.queue_log();
        let state_id = dir.identity.state_id.to_string();
        let log = queue.log().ok();
        let until = log.map_or_else(|| queue.position(), Log::end);
        let mut status = WalStatus {
            segments: Vec::new(),
            last_seq: until.last_seq,
            synced_seq: log.map(Log::synced),
            snapshot_seq: queue.snapshot_seq(),
            records_since_checkpoint: queue.records_since_checkpoint(),
            bytes: 0,
            torn_bytes: 0,
            damaged_records: 0,
            missing: queue.replayed().log.missing.clone(),
        };
        let segments = SegmentFile::list(&folder)?;
        for segment in &segments {
            let last_seq = segment.first_seq.saturating_sub(1);
            let from = Position { segment: segment.first_seq, offset: 0, last_seq };
            let here = (segment.first_seq == until.segment).then_some(until.offset);
            let end =
                Position { segment: segment.first_seq, offset: here.unwrap_or(u64::MAX), last_seq: u64::MAX };
            let request = ReadRequest { folder: &folder, state_id: Some(&state_id), from, until: Some(end) };
            let summary = read(request, |_, _| {})?;
            let bytes = std::fs::metadata(&segment.path).context("look at", &segment.path)?.len();
            let damaged = summary.damage.iter().filter(|d| d.kind != DamageKind::TornTail).count() as u64;
            status.bytes += bytes;
            status.torn_bytes += summary.torn_bytes();
            status.damaged_records += damaged;
            status.segments.push(SegmentStatus {
                file: segment.path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
                first_seq: segment.first_seq,
                last_seq: summary.position.last_seq,
                records: summary.records,
                bytes,
                damaged_records: damaged,
            });
        }
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_nearest_rank() {
        assert_eq!(Percentiles::of(Vec::new()), Percentiles::default());
        let p = Percentiles::of((1..=100).rev().collect());
        assert_eq!((p.p50, p.p90, p.p99), (Some(50), Some(90), Some(99)));
        assert_eq!(Percentiles::of(vec![7]).p99, Some(7));
    }
}
