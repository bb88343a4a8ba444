//! Detects crash loops: after [`ABORTS`] aborted startups in a row, the last of them within [`WINDOW_MS`],
//! nothing is recovered and no job is started automatically any more.
//!
//! When a daemon has come up in this safe mode, a record says so, and safe mode lasts over restarts and
//! reboots until it is cleared: by an operator (`startup clear`), by a phase that was tried again and
//! completed together with all its dependents (`retry phase`), or by a whole recovery (`recover`).
//!
//! **The clock.** An aborted startup counts unless its start lies more than the window before now. One whose
//! time is unknown (a damaged marker) or lies in the future (the clock went back) counts: too much caution
//! costs an operator a command, too little costs jobs.

use super::detect::{Detection, detect};
use super::log::StartupLog;
use super::record::StartupRecord;
use super::record::{StartupEntry, StartupOutcome};
use crate::durable::DiskError;
use crate::state::{StateDir, Timestamp};

/// How many aborted startups in a row make a crash loop.
const ABORTS: usize = 3;

/// How recent the last of them must be, in milliseconds.
const WINDOW_MS: i64 = 10 * 60 * 1000;

/// Safe mode, and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeMode {
    /// The startups that died one after the other, oldest first.
    pub because: Vec<StartupEntry>,
    /// Since when a daemon is, or was, up in safe mode; `None` when the next start will be the first.
    pub since: Option<Timestamp>,
}

impl SafeMode {
    /// Returns the phase in which the last of these startups died.
    pub fn phase(&self) -> Option<&str> {
        self.because.iter().rev().find_map(|e| e.phase.as_deref())
    }

    /// Describes the crash loop in one sentence.
    pub fn sentence(&self) -> String {
        let phase =
            self.phase().map_or_else(|| "before its first phase".to_owned(), |p| format!("in phase {p}"));
        format!("{} startups in a row died, the last one {phase}", self.because.len())
    }

    pub(super) fn of(log: &StartupLog, left: Option<&StartupEntry>, now: Timestamp) -> Option<SafeMode> {
        let (mut because, mut since) = (Vec::new(), None);
        because.extend(left.cloned());
        for (_, record) in log.records.iter().rev() {
            match record {
                StartupRecord::Cleared { .. } => break,
                StartupRecord::SafeMode { at, .. } => since = Some(*at),
                StartupRecord::Act(_) => {}
                StartupRecord::Startup(entry) => match entry.outcome {
                    _ if entry.safe_mode => {}
                    StartupOutcome::Aborted if Some(entry) == left => {}
                    StartupOutcome::Aborted => because.push(entry.clone()),
                    // A startup that gave up in order is no crash, and no proof that the loop is over.
                    StartupOutcome::Failed => {}
                    _ => break,
                },
            }
        }
        let recent = |e: &StartupEntry| e.started_at.is_none_or(|at| now.millis_since(at) <= WINDOW_MS);
        let looping = because.len() >= ABORTS && because[..ABORTS].iter().all(recent);
        because.reverse();
        (looping || since.is_some()).then_some(SafeMode { because, since })
    }
}

/// Returns the safe mode that this state directory is in, or will be in at the next start; `None` when there is
/// none. Changes nothing.
pub fn safe_mode(dir: &StateDir) -> Result<Option<SafeMode>, DiskError> {
    let log = StartupLog::read(dir)?;
    let left = match detect(dir)? {
        Detection::Aborted { previous, .. } => Some(previous),
        Detection::Clean | Detection::Running { .. } => None,
    };
    Ok(SafeMode::of(&log, left.as_deref(), dir.clock.now()))
}
