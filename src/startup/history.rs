//! `startup/history.json`: the startups that were, newest last, at most 100, each once.

use serde::{Deserialize, Serialize};

use super::marker::Marker;
use super::stored;
use crate::durable::DiskError;
use crate::state::{StateDir, Timestamp};

const MOST: usize = 100;

/// How a startup ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartupOutcome {
    /// All phases succeeded.
    Completed,
    /// Up, with named resources that are not usable.
    Degraded,
    /// Its process died before it was up.
    Aborted,
    /// It gave up.
    Failed,
    /// It is under way.
    Running,
}

impl StartupOutcome {
    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            StartupOutcome::Completed => "completed",
            StartupOutcome::Degraded => "degraded",
            StartupOutcome::Aborted => "aborted",
            StartupOutcome::Failed => "failed",
            StartupOutcome::Running => "running",
        }
    }
}

/// One startup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartupEntry {
    /// Names it.
    pub startup_id: String,
    /// What kind of process; `None` when the marker was damaged.
    pub by: Option<String>,
    /// When it began; `None` when the marker was damaged.
    pub started_at: Option<Timestamp>,
    /// When it ended; `None` for one that runs or was aborted, whose end nobody saw.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: StartupOutcome,
    /// The phase that it was in, or died in.
    pub phase: Option<String>,
    /// All the phases that were under way then: phases may run side by side.
    #[serde(default)]
    pub phases_entered: Vec<String>,
    /// The phases that were done.
    pub phases_done: Vec<String>,
    /// How long it took, in milliseconds, by the wall clock; `None` where `ended_at` is.
    pub duration_ms: Option<i64>,
    /// How many findings it had.
    pub findings_total: u64,
}

impl StartupEntry {
    pub(super) fn of(marker: &Marker, outcome: StartupOutcome) -> StartupEntry {
        StartupEntry {
            startup_id: marker.startup_id.clone(),
            by: Some(marker.by.as_str().to_owned()),
            started_at: Some(marker.started_at),
            ended_at: None,
            outcome,
            phase: marker.phase().map(str::to_owned),
            phases_entered: marker.phases_entered.clone(),
            phases_done: marker.phases_done.clone(),
            duration_ms: None,
            findings_total: 0,
        }
    }

    /// One whose marker was damaged. Its name is made from the bytes; when the newest entry has that name
    /// it is the same one, whose marker was not overwritten yet, and is counted once.
    pub(super) fn unreadable(bytes: &[u8], history: &[StartupEntry]) -> StartupEntry {
        let name = format!("unreadable-{:08x}-", crc32fast::hash(bytes));
        let startup_id = match history.last() {
            Some(newest) if newest.startup_id.starts_with(&name) => newest.startup_id.clone(),
            _ => format!("{name}{}", uuid::Uuid::now_v7().simple()),
        };
        StartupEntry {
            startup_id,
            by: None,
            started_at: None,
            ended_at: None,
            outcome: StartupOutcome::Aborted,
            phase: None,
            phases_entered: Vec::new(),
            phases_done: Vec::new(),
            duration_ms: None,
            findings_total: 0,
        }
    }
}

/// The startups that were, oldest first, without the one under way.
///
/// # Errors
/// When the file is there and cannot be opened. One that is damaged gives no entries; the next startup
/// moves it to quarantine.
pub fn history(dir: &StateDir) -> Result<Vec<StartupEntry>, DiskError> {
    Ok(stored::read(&dir.paths.startup_history())?.unwrap_or_default())
}

/// How many of the last startups were aborted, one after the other.
#[must_use]
pub fn consecutive_aborts(history: &[StartupEntry]) -> usize {
    history.iter().rev().take_while(|e| e.outcome == StartupOutcome::Aborted).count()
}

/// Adds an entry unless its startup is there already. The caller holds the startup lock.
pub(super) fn add(dir: &StateDir, entry: StartupEntry) -> Result<(), DiskError> {
    let path = dir.paths.startup_history();
    let mut entries: Vec<StartupEntry> = stored::read_to_change(dir, &path)?;
    if entries.iter().any(|e| e.startup_id == entry.startup_id) {
        return Ok(());
    }
    entries.push(entry);
    stored::write(dir, &path, &entries, MOST)
}
