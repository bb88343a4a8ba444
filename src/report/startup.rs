//! Reports on startups: how the previous one ended, what was cleaned, the past ones, and their phases.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::page::{BadCursor, Page, cut_counted};
use crate::durable::DiskError;
use crate::recovery::{HistoryEntry, HistoryPhase, PhaseProgress, PhaseStatus, RecoveryRecord, Snapshot};
use crate::startup::{
    CleanupEntry, Detection, SafeMode, StartupEntry, StartupLog, StartupOutcome, consecutive_aborts, detect,
    safe_mode,
};
use crate::state::{LAYOUT_VERSION, StateDir, Timestamp};

/// Whether the startup before the present one was cut short.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct StartupDetection {
    /// Whether `previous` was cut short.
    pub aborted: bool,
    /// The startup before `current`.
    pub previous: Option<StartupEntry>,
    /// The startup that is under way, or the last one that came to its end. `null` when the last one was
    /// cut short and none has begun since: that one is `previous`.
    pub current: Option<StartupEntry>,
    /// What is wrong with the marker that it left.
    pub damage: Option<String>,
    pub consecutive_aborts: u64,
    /// Whether no job is started because of them.
    pub safe_mode: bool,
    /// The startups that are the reason.
    pub because: Vec<String>,
    /// The layout of the state directory, and of this version.
    pub layout: u32,
    pub layout_of_this_version: u32,
}

impl StartupDetection {
    /// Reads the marker. Changes nothing.
    pub(crate) fn read(dir: &StateDir) -> Result<StartupDetection, DiskError> {
        let detection = detect(dir)?;
        let mut all: Vec<StartupEntry> = StartupLog::read(dir)?.startups().cloned().collect();
        let mut damage = None;
        let current = match detection {
            Detection::Running { current } => current.map(|current| *current),
            Detection::Clean => all.pop(),
            Detection::Aborted { previous, damage: why } => {
                damage = why;
                all.retain(|e| e.startup_id != previous.startup_id);
                all.push(*previous);
                None
            }
        };
        let previous = all.last().cloned();
        // A startup that ended well separates the earlier aborts from now.
        let ended = current.iter().filter(|e| e.outcome != StartupOutcome::Running).cloned();
        let counted: Vec<StartupEntry> = all.into_iter().chain(ended).collect();
        let safe: Option<SafeMode> = safe_mode(dir)?;
        Ok(StartupDetection {
            aborted: previous.as_ref().is_some_and(|e| e.outcome == StartupOutcome::Aborted),
            previous,
            current,
            damage,
            consecutive_aborts: consecutive_aborts(&counted) as u64,
            safe_mode: safe.is_some(),
            because: safe.into_iter().flat_map(|s| s.because).map(|e| e.startup_id).collect(),
            layout: dir.identity.layout,
            layout_of_this_version: LAYOUT_VERSION,
        })
    }
}

/// The acts of cleaning, the newest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct CleanupLog {
    pub entries: Vec<CleanupEntry>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

impl CleanupLog {
    /// Returns a page of the acts.
    pub(crate) fn new(log: &StartupLog, page: &Page) -> Result<CleanupLog, BadCursor> {
        let all: Vec<CleanupEntry> = log.acts().cloned().collect();
        let total = all.len() as u64;
        let (entries, next_cursor) = cut_counted(all, &page.newest_first())?;
        Ok(CleanupLog { entries, total, next_cursor })
    }
}

/// The startups that were, and the one that is under way, the newest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct StartupHistory {
    pub startups: Vec<StartupEntry>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

/// Returns all startups, oldest first, including one that is under way or was cut short and is not in the log
/// yet.
fn all_startups(dir: &StateDir, log: &StartupLog) -> Result<Vec<StartupEntry>, DiskError> {
    let last = match detect(dir)? {
        Detection::Clean => None,
        Detection::Aborted { previous, .. } => Some(*previous),
        Detection::Running { current } => current.map(|current| *current),
    };
    let mut all: Vec<StartupEntry> = log.startups().cloned().collect();
    if let Some(last) = last.filter(|last| all.iter().all(|e| e.startup_id != last.startup_id)) {
        all.push(last);
    }
    Ok(all)
}

impl StartupHistory {
    /// Returns a page of the startups.
    ///
    /// # Errors
    /// The system's error, or [`BadCursor`].
    pub(crate) fn read(dir: &StateDir, page: &Page) -> Result<StartupHistory, StartupReportError> {
        let all = all_startups(dir, &StartupLog::read(dir)?)?;
        let total = all.len() as u64;
        let (startups, next_cursor) = cut_counted(all, &page.newest_first())?;
        Ok(StartupHistory { startups, total, next_cursor })
    }
}

/// Why a report on startups cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StartupReportError {
    /// The system's error.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The cursor is not valid.
    #[error(transparent)]
    Cursor(#[from] BadCursor),
}

/// What startups did, one entry a phase: the present one, and the ten before it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct StartupLogReport {
    /// The startup that is under way, or the last one.
    pub startup: Option<StartupOperations>,
    /// Those before it, the newest first.
    pub before: Vec<StartupOperations>,
}

/// One startup, phase by phase.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct StartupOperations {
    #[serde(flatten)]
    pub startup: StartupEntry,
    pub operations: Vec<Operation>,
}

/// What a startup did in one phase.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StartupOperation")]
#[allow(missing_docs)]
pub struct Operation {
    pub phase: String,
    /// `null` when only the marker tells of it: the recovery's record is not there any more.
    pub status: Option<PhaseStatus>,
    pub started_at: Option<Timestamp>,
    pub duration_ms: Option<u64>,
    pub attempts: Option<u32>,
    pub done: Option<u64>,
    pub unit: Option<String>,
    pub message: Option<String>,
    pub findings_total: Option<u64>,
}

/// How many startups before the present one are reported.
const BEFORE: usize = 10;

/// The records of recoveries, for the phases of startups.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Recoveries<'a> {
    /// The recovery that runs, or ran last.
    pub current: Option<&'a Snapshot>,
    /// The last recovery that came to its end.
    pub last: Option<&'a RecoveryRecord>,
    /// The past recoveries.
    pub history: &'a [HistoryEntry],
}

impl StartupLogReport {
    /// Assembles the report.
    pub(crate) fn read(dir: &StateDir, recoveries: Recoveries<'_>) -> Result<StartupLogReport, DiskError> {
        let mut all = all_startups(dir, &StartupLog::read(dir)?)?.into_iter().rev();
        let told = |startup: StartupEntry| {
            let operations = operations(&startup, recoveries);
            StartupOperations { startup, operations }
        };
        Ok(StartupLogReport { startup: all.next().map(told), before: all.take(BEFORE).map(told).collect() })
    }
}

fn operations(startup: &StartupEntry, recoveries: Recoveries<'_>) -> Vec<Operation> {
    let of_startup = |id: Uuid| startup.recovery_id == Some(id);
    let snapshots = [recoveries.current, recoveries.last.map(|last| &last.snapshot)];
    if let Some(whole) = snapshots.into_iter().flatten().find(|s| of_startup(s.recovery_id)) {
        return whole.phases.iter().filter(|p| !p.carried_over).map(Operation::of_progress).collect();
    }
    if let Some(short) = recoveries.history.iter().find(|entry| of_startup(entry.recovery_id)) {
        return short.phases.iter().map(Operation::of_history).collect();
    }
    startup.phases_done.iter().chain(&startup.phases_entered).map(|phase| Operation::named(phase)).collect()
}

impl Operation {
    fn named(phase: &str) -> Operation {
        Operation {
            phase: phase.to_owned(),
            status: None,
            started_at: None,
            duration_ms: None,
            attempts: None,
            done: None,
            unit: None,
            message: None,
            findings_total: None,
        }
    }

    fn of_progress(p: &PhaseProgress) -> Operation {
        Operation {
            status: Some(p.status),
            started_at: p.started_at,
            duration_ms: Some(p.duration_ms),
            attempts: Some(p.attempts),
            done: Some(p.done),
            unit: Some(p.unit.clone()),
            message: p.message.clone(),
            findings_total: Some(p.findings_total),
            ..Operation::named(&p.phase)
        }
    }

    fn of_history(p: &HistoryPhase) -> Operation {
        Operation {
            status: Some(p.status),
            duration_ms: Some(p.duration_ms),
            attempts: Some(p.attempts),
            done: Some(p.done),
            findings_total: Some(p.codes.values().sum()),
            ..Operation::named(&p.phase)
        }
    }
}
