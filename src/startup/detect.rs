//! Detects whether a startup is under way, and how the previous one ended. Changes nothing.

use super::history::history;
use super::marker::{MarkerRead, read};
use super::record::{StartupEntry, StartupOutcome};
use crate::durable::{DiskError, is_held};
use crate::state::StateDir;

/// The state of the marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detection {
    /// No startup was cut short: there is no marker, or its startup had ended before the marker was removed.
    Clean,
    /// The last startup's process died in it.
    Aborted {
        /// What is known of its entry; its outcome is `aborted`.
        previous: Box<StartupEntry>,
        /// The damage of the marker, if any.
        damage: Option<String>,
    },
    /// A startup is under way.
    Running {
        /// What is known of its entry; `None` while it has not written its marker.
        current: Option<Box<StartupEntry>>,
    },
}

impl Detection {
    /// Whether the last startup was cut short.
    pub const fn is_aborted(&self) -> bool {
        matches!(self, Detection::Aborted { .. })
    }
}

/// Reads the marker and checks whether its owner lives.
pub fn detect(dir: &StateDir) -> Result<Detection, DiskError> {
    let before = is_under_way(dir)?;
    let marker = read(&dir.paths.startup_marker())?;
    let left = if before { Detection::Clean } else { judge_by(&history(dir)?, &marker) };
    // A startup that began between the two looks has written the marker that was read.
    let is_running = before || (left.is_aborted() && is_under_way(dir)?);
    if !is_running {
        return Ok(left);
    }
    let current = match marker {
        MarkerRead::Whole(m) => Some(Box::new(StartupEntry::of(&m, StartupOutcome::Running))),
        _ => None,
    };
    Ok(Detection::Running { current })
}

fn is_under_way(dir: &StateDir) -> Result<bool, DiskError> {
    match is_held(&dir.paths.startup_lock()) {
        Err(e) if e.is_not_found() => Ok(false),
        other => other,
    }
}

/// Returns what a marker without a living owner means.
pub(super) fn judge_by(history: &[StartupEntry], marker: &MarkerRead) -> Detection {
    let (entry, damage) = match marker {
        MarkerRead::Missing => return Detection::Clean,
        MarkerRead::Whole(m) => (StartupEntry::of(m, StartupOutcome::Aborted), None),
        MarkerRead::Damaged { why, known: Some(m), .. } => {
            (StartupEntry::of(m, StartupOutcome::Aborted), Some(why.clone()))
        }
        MarkerRead::Damaged { why, bytes, .. } => {
            (StartupEntry::unreadable(bytes, history), Some(why.clone()))
        }
    };
    // A crash came between the entry in the history and the removal of the marker.
    let known = history.iter().find(|e| e.startup_id == entry.startup_id);
    if known.is_some_and(|e| e.outcome != StartupOutcome::Aborted) {
        return Detection::Clean;
    }
    Detection::Aborted { previous: Box::new(entry), damage }
}
