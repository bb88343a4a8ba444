//! What other processes ask of a recovery: skip a phase, or try one at once that waits for its next try.
//!
//! A request is a file, `recovery/requests/skip-<phase>.json` or `retry-<phase>.json`, durable before
//! the asker is told that it counts. The recovery that runs looks for them before each phase and twenty
//! times a second; made while none runs, a skip counts for the next one. They are removed at the end of
//! the run, after its record was written: a run that is killed leaves them for its successor.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::snapshot::{PhaseStatus, RecoveryOutcome, read_current};
use crate::durable::{DiskError, Tried, read_optional, replace};
use crate::state::{StateDir, Timestamp};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Skip,
    Retry,
}

impl Wish {
    fn prefix(self) -> &'static str {
        match self {
            Wish::Skip => "skip-",
            Wish::Retry => "retry-",
        }
    }
}

/// A request, as it lies in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) phase: String,
    pub(super) by: String,
    pub(super) why: Option<String>,
    pub(super) at: Timestamp,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestAnswer {
    /// The phase.
    pub phase: String,
    /// Whether it counts; false when it came too late.
    pub accepted: bool,
    /// Where the phase stood.
    pub was: PhaseStatus,
}

/// Why a request could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There is no such phase.
    #[error("there is no phase '{name}'; there are: {}", known.join(", "))]
    UnknownPhase {
        /// What was asked for.
        name: String,
        /// The phases that there are.
        known: Vec<String>,
    },
    /// The system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Asks the recovery that runs, or else the next one, to pass a phase over. `known` are the phases that
/// there are. It is durable when this returns.
///
/// # Errors
/// For an unknown phase, and what the system says.
pub fn request_skip(
    dir: &StateDir,
    known: &[&str],
    phase: &str,
    by: &str,
    why: Option<&str>,
) -> Result<RequestAnswer, RequestError> {
    check_known(known, phase)?;
    let (run, was) = standing(dir, phase);
    let refused = RequestAnswer { phase: phase.to_owned(), accepted: false, was };
    if run.is_some() && was.is_over() {
        return Ok(refused);
    }
    let path = place(dir, Wish::Skip, phase, by, why)?;
    // The phase may have come to its end meanwhile. What it did not take must not count for a later run.
    let (run_now, was_now) = standing(dir, phase);
    if run.is_some() && run_now == run && was_now.is_over() && was_now != PhaseStatus::Skipped {
        remove(dir, &path)?;
        return Ok(RequestAnswer { was: was_now, ..refused });
    }
    Ok(RequestAnswer { accepted: true, ..refused })
}

/// Asks the recovery that runs not to wait any longer with the next try of a phase. Accepted only while
/// the phase is at work: what failed for good is tried again by a new run.
///
/// # Errors
/// As [`request_skip`].
pub fn request_retry(
    dir: &StateDir,
    known: &[&str],
    phase: &str,
    by: &str,
    why: Option<&str>,
) -> Result<RequestAnswer, RequestError> {
    check_known(known, phase)?;
    let (run, was) = standing(dir, phase);
    let accepted = run.is_some() && was == PhaseStatus::Running;
    if accepted {
        place(dir, Wish::Retry, phase, by, why)?;
    }
    Ok(RequestAnswer { phase: phase.to_owned(), accepted, was })
}

pub(super) fn check_known(known: &[&str], phase: &str) -> Result<(), RequestError> {
    if known.contains(&phase) {
        return Ok(());
    }
    let known = known.iter().map(|&name| name.to_owned()).collect();
    Err(RequestError::UnknownPhase { name: phase.to_owned(), known })
}

/// The run that is under way, and where the phase stands in it; `pending` when there is none.
fn standing(dir: &StateDir, phase: &str) -> (Option<Uuid>, PhaseStatus) {
    match read_current(dir).filter(|s| s.outcome == RecoveryOutcome::Running) {
        Some(s) => (Some(s.recovery_id), s.phase(phase).map_or(PhaseStatus::Pending, |p| p.status)),
        None => (None, PhaseStatus::Pending),
    }
}

fn path_of(dir: &StateDir, wish: Wish, phase: &str) -> PathBuf {
    // Phase names are words of the program, checked by the caller: they are file names as they stand.
    dir.paths.recovery_requests().join(format!("{}{phase}.json", wish.prefix()))
}

fn place(dir: &StateDir, wish: Wish, phase: &str, by: &str, why: Option<&str>) -> Result<PathBuf, DiskError> {
    let (by, why) = (by.to_owned(), why.map(str::to_owned));
    let request = Request { phase: phase.to_owned(), by, why, at: dir.clock.now() };
    let mut text = serde_json::to_vec(&request).unwrap_or_default();
    text.push(b'\n');
    let path = path_of(dir, wish, phase);
    dir.disk.ensure_dir(&dir.paths.recovery_requests())?;
    replace(&dir.disk, &path, &text)?;
    Ok(path)
}

fn remove(dir: &StateDir, path: &Path) -> Result<(), DiskError> {
    match dir.disk.remove_file(path) {
        Err(e) if e.is_not_found() => Ok(()),
        other => other,
    }?;
    dir.disk.sync_dir(&dir.paths.recovery_requests())
}

/// The request of this kind for a phase; `None` when there is none. A file of a request that cannot be
/// read still is one: its name says what is asked.
pub(super) fn find(dir: &StateDir, wish: Wish, phase: &str) -> Result<Option<Request>, DiskError> {
    let Some(bytes) = read_optional(&path_of(dir, wish, phase))? else { return Ok(None) };
    let unknown =
        || Request { phase: phase.to_owned(), by: "unknown".to_owned(), why: None, at: Timestamp::default() };
    Ok(Some(serde_json::from_slice(&bytes).unwrap_or_else(|_| unknown())))
}

/// Whether there may be any: one look at the folder, so that a run without requests costs next to nothing.
pub(super) fn any(dir: &StateDir) -> Result<bool, DiskError> {
    let folder = dir.paths.recovery_requests();
    match std::fs::read_dir(&folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).tried("list", &folder),
    }
}

/// Removes a request that was dealt with.
pub(super) fn consume(dir: &StateDir, wish: Wish, phase: &str) -> Result<(), DiskError> {
    remove(dir, &path_of(dir, wish, phase))
}
