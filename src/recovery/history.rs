//! Past recoveries: `recovery/last.json`, the last one that completed, with all its details, and
//! `recovery/history.json`, the last hundred in short, oldest first.
//!
//! Written only by the holder of the recovery lock, in this order at the end of a run: last, history,
//! current. After a kill between any two of them, the next run's [`super::complete`] writes the rest.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::snapshot::{PhaseProgress, PhaseStatus, RecoveryOutcome, Snapshot};
use crate::durable::{DiskError, read_optional, replace};
use crate::findings::{Finding, Object, catalogue};
use crate::state::{StateDir, Timestamp};

/// The version of `history.json` that is written; a file of a later version is left alone.
const VERSION: u32 = 1;

/// How many recoveries the history keeps.
const KEPT: usize = 100;

/// A recovery that came to its end, with what its phases kept of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryRecord {
    /// How it ended.
    #[serde(flatten)]
    pub snapshot: Snapshot,
    /// Values that phases kept with [`super::PhaseContext::detail`], by name.
    #[serde(default)]
    pub details: BTreeMap<String, Value>,
    /// Counters that phases raised with [`super::PhaseContext::count`], over this and all earlier recoveries
    /// that completed.
    #[serde(default)]
    pub totals: BTreeMap<String, u64>,
}

/// A phase of a past recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryPhase {
    /// Its name.
    pub phase: String,
    /// How it ended.
    pub status: PhaseStatus,
    /// From its first try to its end.
    pub duration_ms: u64,
    /// Tries begun.
    pub attempts: u32,
    /// Items done.
    #[serde(default)]
    pub done: u64,
    /// How many findings of which code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub codes: BTreeMap<String, u64>,
}

/// A past recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryEntry {
    /// Names the run.
    pub recovery_id: Uuid,
    /// What ran it.
    pub purpose: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was over; `None` for an aborted one.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: RecoveryOutcome,
    /// From begin to end; for an aborted one, to the last progress that it wrote.
    pub duration_ms: u64,
    /// Its phases, in their order.
    pub phases: Vec<HistoryPhase>,
    /// Resources that were unusable afterwards.
    pub degraded: u64,
    /// Phases passed over.
    pub skipped: u64,
    /// Tries beyond each phase's first.
    pub retried: u64,
    /// The phases that were asked for, when it was not the whole sequence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
}

impl HistoryEntry {
    pub(super) fn of(snapshot: &Snapshot) -> HistoryEntry {
        // Phases that were carried over did not run.
        let phases: Vec<&PhaseProgress> = snapshot.phases.iter().filter(|p| !p.carried_over).collect();
        let skipped = phases.iter().filter(|p| p.status == PhaseStatus::Skipped).count();
        HistoryEntry {
            recovery_id: snapshot.recovery_id,
            purpose: snapshot.purpose.clone(),
            started_at: snapshot.started_at,
            ended_at: snapshot.ended_at,
            outcome: snapshot.outcome,
            duration_ms: snapshot.duration_ms,
            degraded: snapshot.degraded_resources().count() as u64,
            skipped: skipped as u64,
            retried: phases.iter().map(|p| u64::from(p.attempts.saturating_sub(1))).sum(),
            phases: phases.into_iter().map(HistoryPhase::of).collect(),
            only: snapshot.only.clone(),
        }
    }
}

impl HistoryPhase {
    fn of(progress: &PhaseProgress) -> HistoryPhase {
        let mut codes = BTreeMap::new();
        for finding in &progress.findings {
            *codes.entry(finding.code.to_string()).or_default() += 1;
        }
        HistoryPhase {
            done: progress.done,
            codes,
            phase: progress.phase.clone(),
            status: progress.status,
            duration_ms: progress.duration_ms,
            attempts: progress.attempts,
        }
    }
}

/// Why the records of past recoveries cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The system's error.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file cannot be understood; the next recovery moves it to quarantine and begins a new one.
    #[error("{} is damaged", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    /// A later version wrote it.
    #[error("{} has form {version}; this version knows up to {VERSION}", path.display())]
    Newer {
        path: PathBuf,
        /// The file's version.
        version: u32,
    },
}

#[derive(Serialize, Deserialize)]
struct HistoryFile {
    version: u32,
    recoveries: Vec<HistoryEntry>,
}

/// Returns the past recoveries, oldest first, at most a hundred.
pub fn read_history(dir: &StateDir) -> Result<Vec<HistoryEntry>, HistoryError> {
    #[derive(Deserialize)]
    struct Form {
        version: u32,
    }
    let path = dir.paths.recovery_history();
    // The version is checked first: a later one need not have the members that this version knows.
    if let Some(Form { version }) = read_json::<Form>(path.clone())?
        && version > VERSION
    {
        return Err(HistoryError::Newer { path, version });
    }
    Ok(read_json::<HistoryFile>(path)?.map_or_else(Vec::new, |file| file.recoveries))
}

/// Returns the last recovery that came to its end.
pub fn read_last(dir: &StateDir) -> Result<Option<RecoveryRecord>, HistoryError> {
    read_json(dir.paths.recovery_last())
}

fn read_json<T: DeserializeOwned>(path: PathBuf) -> Result<Option<T>, HistoryError> {
    let Some(bytes) = read_optional(&path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|source| HistoryError::Damaged { path, source })
}

/// Returns the counters of all recoveries so far, with what this one counted.
pub(super) fn totals(dir: &StateDir, counts: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    // A record that cannot be read was moved to quarantine at the start: its counters begin anew.
    let mut totals = read_last(dir).ok().flatten().map(|last| last.totals).unwrap_or_default();
    for (name, n) in counts {
        *totals.entry(name).or_default() += n;
    }
    totals
}

/// Records a completed run: `last.json`, then the history.
pub(super) fn record(dir: &StateDir, record: &RecoveryRecord) -> Result<(), HistoryError> {
    let mut text = serde_json::to_vec(record).unwrap_or_default();
    text.push(b'\n');
    replace(&dir.disk, &dir.paths.recovery_last(), &text)?;
    add(dir, &[HistoryEntry::of(&record.snapshot)])
}

/// Returns the name of the counter of recoveries with this outcome, among [`RecoveryRecord::totals`].
pub(crate) fn counter(outcome: RecoveryOutcome) -> String {
    format!("recoveries.{}", outcome.word())
}

/// Counts a completed run: its outcome, and its results.
pub(super) fn count_run(snapshot: &Snapshot, counts: &mut BTreeMap<String, u64>) {
    let HistoryEntry { degraded, skipped, retried, only, .. } = HistoryEntry::of(snapshot);
    let figures = [
        (counter(snapshot.outcome), 1),
        ("recoveries.degraded_resources".to_owned(), degraded),
        ("recoveries.skipped_phases".to_owned(), skipped),
        ("recoveries.retried_phases".to_owned(), retried + only.len() as u64),
    ];
    for (name, n) in figures {
        *counts.entry(name).or_default() += n;
    }
}

pub(super) fn damaged(path: &str, reason: &str) -> Finding {
    let sentence = format!("The record of past recoveries was damaged and is in quarantine now: {reason}.");
    Finding::new(&catalogue::RECOVERY_HISTORY_DAMAGED, Object::File(path.to_string()), sentence)
}

/// Adds the entries that the history does not have yet.
pub(super) fn add(dir: &StateDir, entries: &[HistoryEntry]) -> Result<(), HistoryError> {
    let mut recoveries = read_history(dir)?;
    let before = recoveries.len();
    for entry in entries {
        if recoveries.iter().all(|known| known.recovery_id != entry.recovery_id) {
            recoveries.push(entry.clone());
        }
    }
    if recoveries.len() == before {
        return Ok(());
    }
    recoveries.drain(..recoveries.len().saturating_sub(KEPT));
    let file = HistoryFile { version: VERSION, recoveries };
    let mut text = serde_json::to_vec(&file).unwrap_or_default();
    text.push(b'\n');
    Ok(replace(&dir.disk, &dir.paths.recovery_history(), &text)?)
}
