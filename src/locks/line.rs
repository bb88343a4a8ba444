//! The waiting line of `lock REPO -- CMD`: numbered tickets, which are flocked files.
//!
//! `locks/.<repository>.line/` has a ticket for each waiting process, `<number>.ticket`. The process flocks its
//! ticket before the ticket has its name and until it is removed: an unlocked ticket belongs to a dead process
//! and does not count. Numbers are given under `line.lock` and rise as long as the line is not empty. The process
//! with the lowest living number may try for the lock; the others check again.
//!
//! Queued jobs of the repository wait in the same line, though their positions are in the queue. A ticket says
//! after which record of the queue's log it was drawn ([`TicketNote::behind`]): jobs that were submitted earlier
//! go first, jobs that were submitted later go after it, and a job with a priority other than 0 goes before or
//! after every ticket, by its priority ([`job_goes_first`]). The scheduler asks the same question from the other
//! side ([`first_ticket`]).
//!
//! Nothing here outlives its process, so nothing is synced.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable::{Disk, DiskError, FileLock, IoContext, LockError, is_held};
use crate::state::{LockPaths, StateDir, Timestamp};
use crate::system::ProcessIdentity;

const SUFFIX: &str = ".ticket";

/// The content of a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TicketNote {
    /// The waiting process.
    pub process: ProcessIdentity,
    /// What it wants to do: `job`, or a command line.
    pub operation: String,
    /// When it drew the ticket.
    pub since: Timestamp,
    /// The last record of the queue's log when the ticket was drawn.
    pub behind: u64,
}

/// A waiting process's ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiter {
    /// The ticket's number.
    pub number: u64,
    /// Its content; `None` when it cannot be parsed.
    pub note: Option<TicketNote>,
}

/// Whether a queued job goes before a ticket that was drawn after the record `behind`.
pub(crate) fn job_goes_first(priority: i32, submitted: u64, behind: u64) -> bool {
    priority > 0 || (priority == 0 && submitted <= behind)
}

/// The processes that wait for a repository with a ticket, in their order. Changes nothing.
pub(crate) fn waiters(paths: &LockPaths) -> Result<Vec<Waiter>, DiskError> {
    let mut waiting = Vec::new();
    for (number, path) in tickets(&paths.line)? {
        if is_living(&path)? {
            let note =
                crate::durable::plain::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            waiting.push(Waiter { number, note });
        }
    }
    Ok(waiting)
}

/// The earliest record that a living ticket was drawn after; `None` when there is no such ticket.
pub(crate) fn first_ticket(dir: &StateDir, repository: &str) -> Option<u64> {
    let paths = dir.paths.lock(repository).ok()?;
    let waiting = waiters(&paths).ok()?;
    waiting.iter().filter_map(|w| w.note.as_ref()).map(|note| note.behind).min()
}

/// A position in the line; given up when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    number: u64,
    path: PathBuf,
    line: PathBuf,
    disk: Disk,
    _flock: FileLock,
}

impl Ticket {
    /// Draws the next number.
    pub(super) fn draw(dir: &StateDir, paths: &LockPaths, note: &TicketNote) -> Result<Ticket, LockError> {
        dir.disk.ensure_dir(&paths.line)?;
        let _drawing = FileLock::acquire(&dir.disk, &paths.line.join("line.lock"), dir.lock_wait)?;
        sweep(&dir.disk, &paths.line)?;
        let content = serde_json::to_vec(note).unwrap_or_default(); // Text and numbers: always JSON.
        let mut number = tickets(&paths.line)?.last().map_or(0, |(number, _)| *number);
        loop {
            number += 1;
            let path = paths.line.join(format!("{number:012}{SUFFIX}"));
            if let Some(flock) = FileLock::publish_with(&dir.disk, &path, &content)? {
                let (line, disk) = (paths.line.clone(), dir.disk.clone());
                return Ok(Ticket { number, path, line, disk, _flock: flock });
            }
        }
    }

    /// The ticket directly before; `None` when this is the first.
    pub(super) fn predecessor(&self) -> Result<Option<Waiter>, DiskError> {
        for (number, path) in tickets(&self.line)?.into_iter().rev().filter(|(n, _)| *n < self.number) {
            if is_living(&path)? {
                let note = crate::durable::plain::read(&path)
                    .ok()
                    .and_then(|bytes| serde_json::from_slice(&bytes).ok());
                return Ok(Some(Waiter { number, note }));
            }
        }
        Ok(None)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // The name goes before the flock, so that no process ever sees an unlocked ticket of a living owner. If
        // the name stays, it counts for nothing without its flock.
        let _ = self.disk.remove_file(&self.path);
    }
}

/// Removes the tickets of dead processes. The caller holds `line.lock`, so that no ticket is being drawn.
fn sweep(disk: &Disk, line: &Path) -> Result<(), DiskError> {
    for path in entries(line)? {
        let is_ours = path.extension().is_some_and(|e| e == "ticket")
            || path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".tmp-"));
        if is_ours && !is_living(&path)? {
            match disk.remove_file(&path) {
                Err(e) if e.is_not_found() => {}
                other => other?,
            }
        }
    }
    Ok(())
}

/// Removes the tickets of dead processes from every line.
pub(super) fn sweep_line(dir: &StateDir, paths: &LockPaths) -> Result<(), LockError> {
    if !paths.line.is_dir() {
        return Ok(());
    }
    let _drawing = FileLock::acquire(&dir.disk, &paths.line.join("line.lock"), dir.lock_wait)?;
    Ok(sweep(&dir.disk, &paths.line)?)
}

fn is_living(ticket: &Path) -> Result<bool, DiskError> {
    match is_held(ticket) {
        Err(e) if e.is_not_found() => Ok(false),
        other => other,
    }
}

/// The tickets, dead ones included, in order of their numbers.
fn tickets(line: &Path) -> Result<Vec<(u64, PathBuf)>, DiskError> {
    let number = |path: &Path| path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.parse().ok();
    let mut found: Vec<(u64, PathBuf)> =
        entries(line)?.into_iter().filter_map(|path| Some((number(&path)?, path))).collect();
    found.sort();
    Ok(found)
}

fn entries(line: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let entries = match std::fs::read_dir(line) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context("list", line)?,
    };
    entries.map(|entry| Ok(entry.context("list", line)?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_goes_first_by_priority_then_arrival() {
        assert!(job_goes_first(0, 7, 7) && job_goes_first(0, 6, 7), "submitted before");
        assert!(!job_goes_first(0, 8, 7), "submitted after");
        assert!(job_goes_first(1, 8, 7), "urgent");
        assert!(!job_goes_first(-1, 1, 7), "it can wait");
    }
}
