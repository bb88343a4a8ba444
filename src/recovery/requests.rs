//! Requests of other processes. To a recovery: skip a phase, or end the wait of a phase for its next try. To
//! a daemon that has recovered: try a phase again with its dependents.
//!
//! A request is a file, `recovery/requests/skip-<phase>.json`, `retry-<phase>.json` or `again-<phase>.json`.
//! It is synced before the requester is told that it counts. The running recovery looks for requests before
//! each phase and twenty times a second; a skip made while none runs counts for the next one. The requests
//! are removed at the end of the run, after its record was written: a run that is killed leaves them for its
//! successor.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::current::read_current;
use super::snapshot::{PhaseStatus, RecoveryOutcome};
use crate::durable::{DiskError, IoContext, read_optional, replace};
use crate::state::{StateDir, Timestamp};

/// The kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Skip,
    Retry,
    Again,
}

impl Wish {
    fn prefix(self) -> &'static str {
        match self {
            Wish::Skip => "skip-",
            Wish::Retry => "retry-",
            Wish::Again => "again-",
        }
    }

    fn opposites(self) -> &'static [Wish] {
        match self {
            Wish::Skip => &[Wish::Retry, Wish::Again],
            Wish::Retry | Wish::Again => &[Wish::Skip],
        }
    }
}

/// A request as its file stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) phase: String,
    pub(super) by: String,
    pub(super) why: Option<String>,
    pub(super) at: Timestamp,
    /// The request's id; absent in requests of earlier versions.
    #[serde(default)]
    pub(super) id: Uuid,
}

/// A request to the process that recovered here and still runs: to try a phase again with its dependents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetryWanted {
    pub phase: String,
    /// The request's id; the record of the recovery that answers it names it.
    pub id: Uuid,
    /// Who asks.
    pub by: String,
    pub why: Option<String>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestAnswer {
    pub phase: String,
    /// Whether the request counts; false when it came too late.
    pub accepted: bool,
    /// The phase's status when the request was made.
    pub was: PhaseStatus,
}

/// Why a request could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There is no such phase.
    #[error("there is no phase '{name}'; there are: {}", known.join(", "))]
    UnknownPhase {
        /// The requested name.
        name: String,
        /// The phases that exist.
        known: Vec<String>,
    },
    /// The system's error.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A request: its phase and its actor.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The phases that exist.
    pub known: &'a [&'a str],
    pub phase: &'a str,
    /// Who asks.
    pub by: &'a str,
    pub why: Option<&'a str>,
}

/// Asks the running recovery, or else the next one, to skip a phase. The request is synced when this returns.
pub fn request_skip(
    dir: &StateDir,
    known: &[&str],
    phase: &str,
    by: &str,
    why: Option<&str>,
) -> Result<RequestAnswer, RequestError> {
    let asking = Asking { known, phase, by, why };
    // The request counts also before the run has reached the phase, and when there is no run yet.
    let (answer, run) = request(dir, Wish::Skip, asking, |run, was| run.is_none() || !was.is_over())?;
    if !answer.accepted {
        return Ok(answer);
    }
    // The phase may have completed in between. A request that the run did not take must not count for a later
    // run.
    let (run_now, was_now) = standing(dir, phase);
    if run.is_some() && run_now == run && was_now.is_over() && was_now != PhaseStatus::Skipped {
        remove(dir, &path_of(dir, Wish::Skip, phase))?;
        return Ok(RequestAnswer { accepted: false, was: was_now, ..answer });
    }
    Ok(answer)
}

/// Asks the running recovery not to wait any longer for the next try of a phase. Accepted only while the
/// phase is at work: a phase that is over is tried again by a new run.
pub fn request_retry(
    dir: &StateDir,
    known: &[&str],
    phase: &str,
    by: &str,
    why: Option<&str>,
) -> Result<RequestAnswer, RequestError> {
    let asking = Asking { known, phase, by, why };
    let at_work = |run: Option<Uuid>, was| run.is_some() && was == PhaseStatus::Running;
    Ok(request(dir, Wish::Retry, asking, at_work)?.0)
}

/// Asks the process that recovered here and still runs (a daemon) to try a phase again with its dependents.
/// The record of the recovery that answers names the request's id.
///
/// The second value is false when the same was asked for already: that request is joined, and its requester alone
/// withdraws it.
pub fn request_retry_of_daemon(dir: &StateDir, asking: Asking<'_>) -> Result<(Uuid, bool), RequestError> {
    check_known(asking.known, asking.phase)?;
    match find(dir, Wish::Again, asking.phase)?.filter(|open| !open.id.is_nil()) {
        Some(open) => Ok((open.id, false)),
        None => Ok((place(dir, Wish::Again, asking)?, true)),
    }
}

/// Whether a request made with [`request_retry_of_daemon`] is still open.
pub(crate) fn is_retry_wanted(dir: &StateDir, phase: &str, id: Uuid) -> Result<bool, DiskError> {
    Ok(find(dir, Wish::Again, phase)?.is_some_and(|request| request.id == id))
}

/// Withdraws a request that was not handled.
pub fn withdraw_retry(dir: &StateDir, phase: &str, id: Uuid) -> Result<(), DiskError> {
    match is_retry_wanted(dir, phase, id)? {
        true => consume(dir, Wish::Again, phase),
        // A later request has its place.
        false => Ok(()),
    }
}

/// Returns the phases that are to be tried again. Costs one look at the folder when there are none.
pub(crate) fn retries_wanted(dir: &StateDir, known: &[&str]) -> Result<Vec<RetryWanted>, DiskError> {
    let mut wanted = Vec::new();
    if any(dir)? {
        for phase in known {
            if let Some(Request { by, why, id, .. }) = find(dir, Wish::Again, phase)? {
                wanted.push(RetryWanted { phase: (*phase).to_owned(), id, by, why });
            }
        }
    }
    Ok(wanted)
}

/// Makes the request if `counts` accepts the running recovery and the phase's status in it.
fn request(
    dir: &StateDir,
    wish: Wish,
    asking: Asking<'_>,
    counts: impl Fn(Option<Uuid>, PhaseStatus) -> bool,
) -> Result<(RequestAnswer, Option<Uuid>), RequestError> {
    check_known(asking.known, asking.phase)?;
    let (run, was) = standing(dir, asking.phase);
    let accepted = counts(run, was);
    if accepted {
        place(dir, wish, asking)?;
    }
    Ok((RequestAnswer { phase: asking.phase.to_owned(), accepted, was }, run))
}

pub(super) fn check_known(known: &[&str], phase: &str) -> Result<(), RequestError> {
    if known.contains(&phase) {
        return Ok(());
    }
    let known = known.iter().map(|&name| name.to_owned()).collect();
    Err(RequestError::UnknownPhase { name: phase.to_owned(), known })
}

/// Returns the running recovery and the phase's status in it; `pending` when there is none.
fn standing(dir: &StateDir, phase: &str) -> (Option<Uuid>, PhaseStatus) {
    match read_current(dir).filter(|s| s.outcome == RecoveryOutcome::Running) {
        Some(s) => (Some(s.recovery_id), s.phase(phase).map_or(PhaseStatus::Pending, |p| p.status)),
        None => (None, PhaseStatus::Pending),
    }
}

fn path_of(dir: &StateDir, wish: Wish, phase: &str) -> PathBuf {
    // Phase names are words of the program, checked by the caller, so they are valid file names.
    dir.paths.recovery_requests().join(format!("{}{phase}.json", wish.prefix()))
}

fn place(dir: &StateDir, wish: Wish, asking: Asking<'_>) -> Result<Uuid, DiskError> {
    let Asking { phase, by, why, .. } = asking;
    let (by, why, id) = (by.to_owned(), why.map(str::to_owned), Uuid::now_v7());
    let request = Request { phase: phase.to_owned(), by, why, at: dir.clock.now(), id };
    let mut text = serde_json::to_vec(&request).unwrap_or_default();
    text.push(b'\n');
    dir.disk.ensure_dir(&dir.paths.recovery_requests())?;
    replace(&dir.disk, &path_of(dir, wish, phase), &text)?;
    // Of two opposite requests, the later one counts.
    for opposite in wish.opposites() {
        consume(dir, *opposite, phase)?;
    }
    Ok(id)
}

/// Withdraws a skip that no recovery has handled, because the phase is to be tried.
pub(crate) fn withdraw_skip(dir: &StateDir, phase: &str) -> Result<(), DiskError> {
    consume(dir, Wish::Skip, phase)
}

fn remove(dir: &StateDir, path: &Path) -> Result<(), DiskError> {
    match dir.disk.remove_file(path) {
        Err(e) if e.is_not_found() => Ok(()),
        other => other,
    }?;
    dir.disk.sync_dir(&dir.paths.recovery_requests())
}

/// Returns the request of this kind for a phase; `None` when there is none. A request file that cannot be
/// read still counts: its name says what is requested.
pub(super) fn find(dir: &StateDir, wish: Wish, phase: &str) -> Result<Option<Request>, DiskError> {
    let Some(bytes) = read_optional(&path_of(dir, wish, phase))? else { return Ok(None) };
    let unknown = || Request {
        phase: phase.to_owned(),
        by: "unknown".to_owned(),
        why: None,
        at: Timestamp::default(),
        id: Uuid::nil(),
    };
    Ok(Some(serde_json::from_slice(&bytes).unwrap_or_else(|_| unknown())))
}

/// Whether there may be any request. Costs one look at the folder, so that a run without requests pays almost
/// nothing.
pub(super) fn any(dir: &StateDir) -> Result<bool, DiskError> {
    let folder = dir.paths.recovery_requests();
    match std::fs::read_dir(&folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).context("list", &folder),
    }
}

/// Removes a request that was handled.
pub(super) fn consume(dir: &StateDir, wish: Wish, phase: &str) -> Result<(), DiskError> {
    remove(dir, &path_of(dir, wish, phase))
}
