//! `daemon/starts.json`: no job is started, because the host cannot start any. The scheduler writes the file when
//! its circuit opens, and removes it when the circuit closes or the scheduler ends. A file that a killed
//! scheduler left does not count: readers check whether a scheduler lives.
//!
//! `{"version":1,"since":"2026-03-01T09:30:00.000Z","reason":"cannot start …: …"}`

use serde::{Deserialize, Serialize};

use super::command_record::CommandRecord;
use super::sentinel::Sentinel;
use super::stored::{DOCUMENT_VERSION, Stored, read_stored, write_stored};
use crate::durable::{DiskError, Survives, is_held};
use crate::queue::{Claim, JobId, QueueState};
use crate::state::{StateDir, Timestamp};

/// Why no job is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartsHeld {
    version: u32,
    /// The time since when no job is started.
    pub since: Timestamp,
    /// The failed operation, and the system's error.
    pub reason: String,
}

impl StartsHeld {
    /// A hold that begins now.
    pub(crate) fn now(dir: &StateDir, reason: String) -> StartsHeld {
        StartsHeld { version: DOCUMENT_VERSION, since: dir.clock.now(), reason }
    }

    pub(crate) fn write(&self, dir: &StateDir) -> Result<(), DiskError> {
        write_stored(&dir.disk, &dir.paths.starts_held(), self, Survives::PowerLoss)
    }

    pub(crate) fn remove(dir: &StateDir) -> Result<(), DiskError> {
        match dir.disk.remove_file(&dir.paths.starts_held()) {
            Err(e) if !e.is_not_found() => Err(e),
            _ => Ok(()),
        }
    }
}

/// Why no job is started, if a living scheduler says so.
pub fn starts_held(dir: &StateDir) -> Option<StartsHeld> {
    let Ok(Stored::Whole(held)) = read_stored(&dir.paths.starts_held()) else { return None };
    is_held(&dir.paths.scheduling_lock()).is_ok_and(|is_held| is_held).then_some(held)
}

/// Whether the command's process, or the attempt, was recorded under this claim; `None` when that cannot be read.
pub(crate) fn has_begun(dir: &StateDir, job: &JobId, claim: Claim) -> Option<bool> {
    let paths = dir.paths.job(&job.to_string()).ok()?;
    let command = CommandRecord::read(&paths.command()).ok()?;
    let sentinel = Sentinel::read(&paths.sentinel()).ok()?;
    if command.whole().is_some_and(|c| c.claim == claim) {
        return Some(true);
    }
    let is_doubtful = command.is_damaged() || sentinel.is_damaged();
    (!is_doubtful).then(|| sentinel.whole().is_some_and(|s| s.claim == claim))
}

/// How long a supervisor may take to begin its job before it counts as hanging, in milliseconds: it waits for
/// locks for seconds.
const BEGINS_WITHIN_MS: i64 = 60_000;

/// The jobs that were claimed but not begun for too long, each with the time since its claim in milliseconds.
pub(crate) fn hanging_starts(dir: &StateDir, state: &QueueState) -> Vec<(JobId, i64)> {
    let now = dir.clock.now();
    let of = |job: &crate::queue::Job| {
        let (run, since) = (job.run_state(), now.millis_since(job.run_state().started_at?));
        let claim = run.claim.filter(|_| run.adopted.is_none() && since >= BEGINS_WITHIN_MS)?;
        (has_begun(dir, &job.id, claim) == Some(false)).then(|| (job.id.clone(), since))
    };
    state.running().filter_map(of).collect()
}
