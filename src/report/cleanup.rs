//! Reports on cleanups: open, queued, interrupted and completed ones.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page;
use crate::archive::{Archive, archives};
use crate::cleanup::{
    CleanupPhase, CleanupPhaseName, CleanupPhaseStatus, CleanupRecord, CleanupStatus, Completed, ResumedFrom,
    Source, completed, findings, is_running, list,
};
use crate::durable::DiskError;
use crate::findings::Finding;
use crate::queue::JobId;
use crate::state::{StateDir, Timestamp};
use crate::system::docker::DockerKind;

/// A phase of a cleanup.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CleanupPhaseEntry")]
#[allow(missing_docs)] // As in the cleanup's own record.
pub struct PhaseEntry {
    pub phase: CleanupPhaseName,
    pub status: CleanupPhaseStatus,
    pub attempts: u32,
    pub items_done: u64,
    pub items_total: u64,
    pub error: Option<String>,
    /// Whether it is not done because git work could be lost by it.
    #[serde(default)]
    pub is_work_at_risk: bool,
    pub next_try_at: Option<Timestamp>,
    /// The first step that is not done.
    pub step: Option<String>,
    pub notes: Vec<String>,
}

impl PhaseEntry {
    fn of(phase: &CleanupPhase, interrupted: bool) -> PhaseEntry {
        // A phase whose process was killed is not under way, although the file says so.
        let status = match phase.status {
            CleanupPhaseStatus::Running if interrupted => CleanupPhaseStatus::Pending,
            status => status,
        };
        let step = phase.next_step().filter(|_| !phase.status.is_over()).map(|s| s.step.clone());
        PhaseEntry {
            phase: phase.phase,
            status,
            attempts: phase.attempts,
            items_done: phase.items_done,
            items_total: phase.items_total,
            error: phase.error.clone(),
            is_work_at_risk: phase.is_work_at_risk,
            next_try_at: phase.next_try_at,
            step,
            notes: phase.notes.clone(),
        }
    }
}

/// A cleanup.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct CleanupEntry {
    pub cleanup_id: String,
    pub job_id: JobId,
    pub attempt: u32,
    pub status: CleanupStatus,
    /// The phase that is next or under way; null when it is over.
    pub phase: Option<CleanupPhaseName>,
    pub phases: Vec<PhaseEntry>,
    pub created_at: Timestamp,
    /// Why there is one: `auto`, `asked`, `pruned`.
    pub source: Source,
    pub by: String,
    pub reason: Option<String>,
    /// Whether a crash interrupted it and it went on, or will.
    pub resumed: bool,
    pub resumed_from: Option<ResumedFrom>,
    /// A later attempt of the job ended it early.
    pub overtaken: bool,
    pub bytes_freed: u64,
}

impl CleanupEntry {
    /// Returns the cleanup as it is now; `runs` tells whether some process works on cleanups.
    pub(crate) fn of(record: &CleanupRecord, runs: bool) -> CleanupEntry {
        let status = record.status(runs);
        let interrupted = record.under_way && !runs;
        let resumed_from = if interrupted { record.open_step() } else { record.resumed_from.clone() };
        CleanupEntry {
            cleanup_id: record.cleanup_id.clone(),
            job_id: record.job_id.clone(),
            attempt: record.attempt,
            status,
            phase: record.current_phase(),
            phases: record.phases.iter().map(|p| PhaseEntry::of(p, interrupted)).collect(),
            created_at: record.created_at,
            source: record.source,
            by: record.by.clone(),
            reason: record.why.clone(),
            resumed: resumed_from.is_some(),
            resumed_from,
            overtaken: record.overtaken,
            bytes_freed: record.bytes_freed,
        }
    }
}

/// A cleanup that is over.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct CompletedEntry {
    #[serde(flatten)]
    pub cleanup: CleanupEntry,
    pub completed_at: Timestamp,
    pub duration_ms: i64,
    pub containers_removed: u64,
    pub networks_removed: u64,
    pub volumes_removed: u64,
}

impl CompletedEntry {
    fn of(completed: &Completed) -> CompletedEntry {
        let record = &completed.cleanup;
        let begun = record.begun_at.unwrap_or(record.created_at);
        CompletedEntry {
            cleanup: CleanupEntry::of(record, false),
            completed_at: completed.completed_at,
            duration_ms: completed.completed_at.millis_since(begun).max(0),
            containers_removed: record.removed(DockerKind::Container),
            networks_removed: record.removed(DockerKind::Network),
            volumes_removed: record.removed(DockerKind::Volume),
        }
    }
}

/// How many cleanups stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct CleanupCounts {
    pub pending: u64,
    pub running: u64,
    pub waiting: u64,
    pub parked: u64,
    pub completed: u64,
}

/// `cleanup state`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct CleanupState {
    pub counts: CleanupCounts,
    /// Those that are not over, the oldest first.
    pub cleanups: Vec<CleanupEntry>,
    pub total: u64,
    pub next_cursor: Option<String>,
    pub findings: Vec<Finding>,
}

/// `cleanup queue` and `cleanup resuming`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct CleanupList {
    pub cleanups: Vec<CleanupEntry>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

/// `cleanup completed`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct CompletedList {
    pub cleanups: Vec<CompletedEntry>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CleanupReportError {
    /// The cursor is not valid.
    #[error(transparent)]
    Cursor(#[from] page::BadCursor),
    /// The disk could not be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

pub(super) fn open(dir: &StateDir) -> Result<Vec<CleanupEntry>, DiskError> {
    let records = list(dir)?;
    let runs = is_running(dir);
    Ok(records.iter().map(|r| CleanupEntry::of(r, runs)).collect())
}

impl CleanupState {
    /// Reads the cleanups as they are now. Changes nothing.
    pub(crate) fn read(dir: &StateDir, page: &page::Page) -> Result<CleanupState, CleanupReportError> {
        let (records, runs) = (list(dir)?, is_running(dir));
        let cleanups: Vec<_> = records.iter().map(|r| CleanupEntry::of(r, runs)).collect();
        let over = completed(dir)?;
        let mut counts = CleanupCounts { completed: over.len() as u64, ..CleanupCounts::default() };
        for cleanup in &cleanups {
            match cleanup.status {
                CleanupStatus::Pending => counts.pending += 1,
                CleanupStatus::Running => counts.running += 1,
                CleanupStatus::Waiting => counts.waiting += 1,
                CleanupStatus::Parked => counts.parked += 1,
                // The cleanup was killed between its entry in the log and the removal of its file.
                CleanupStatus::Completed => {
                    let is_entered = over.iter().any(|c| c.cleanup.cleanup_id == cleanup.cleanup_id);
                    counts.completed += u64::from(!is_entered);
                }
            }
        }
        let findings = findings(dir, &records, runs)?;
        let total = cleanups.len() as u64;
        let (cleanups, next_cursor) = page::cut_counted(cleanups, page)?;
        Ok(CleanupState { counts, cleanups, total, next_cursor, findings })
    }
}

impl CleanupList {
    /// Returns the cleanups that were not begun, in order.
    pub(crate) fn queue(dir: &StateDir, page: &page::Page) -> Result<CleanupList, CleanupReportError> {
        let pending = |c: &CleanupEntry| c.status == CleanupStatus::Pending && !c.resumed;
        CleanupList::of(open(dir)?.into_iter().filter(pending).collect(), page)
    }

    /// Returns the cleanups that a crash interrupted and that are not over.
    pub(crate) fn resuming(dir: &StateDir, page: &page::Page) -> Result<CleanupList, CleanupReportError> {
        CleanupList::of(open(dir)?.into_iter().filter(|c| c.resumed).collect(), page)
    }

    fn of(cleanups: Vec<CleanupEntry>, page: &page::Page) -> Result<CleanupList, CleanupReportError> {
        let total = cleanups.len() as u64;
        let (cleanups, next_cursor) = page::cut_counted(cleanups, page)?;
        Ok(CleanupList { cleanups, total, next_cursor })
    }
}

impl CompletedList {
    /// Reads them, newest first.
    pub(crate) fn read(dir: &StateDir, page: &page::Page) -> Result<CompletedList, CleanupReportError> {
        let cleanups: Vec<_> = completed(dir)?.iter().map(CompletedEntry::of).collect();
        let total = cleanups.len() as u64;
        let (cleanups, next_cursor) = page::cut_counted(cleanups, &page.newest_first())?;
        Ok(CompletedList { cleanups, total, next_cursor })
    }
}

/// `cleanup archive list`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct ArchiveList {
    /// The newest first.
    pub archives: Vec<Archive>,
    pub total: u64,
    /// Of all, not only of this page.
    pub bytes_total: u64,
    pub next_cursor: Option<String>,
}

impl ArchiveList {
    /// Reads the archives as they are now.
    pub(crate) fn read(dir: &StateDir, page: &page::Page) -> Result<ArchiveList, CleanupReportError> {
        let archives = archives(dir)?;
        let (total, bytes_total) = (archives.len() as u64, archives.iter().map(|a| a.bytes).sum());
        let (archives, next_cursor) = page::cut_counted(archives, page)?;
        Ok(ArchiveList { archives, total, bytes_total, next_cursor })
    }
}
