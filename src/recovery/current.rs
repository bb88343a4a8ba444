//! `recovery/current.json`: the recovery that runs, or ran last.
//!
//! A snapshot that says `running` is only a claim of its writer, which may be gone. [`read_current`] checks
//! it by the writer's identity (PID, start time, boot, namespace) and by the recovery lock, which a living
//! run holds from before its first snapshot until after its last.

use std::path::Path;

use super::history::read_last;
use super::snapshot::{RecoveryOutcome, Snapshot};
use crate::durable::{is_held, read_optional};
use crate::state::StateDir;
use crate::system::{Host, Presence, ProcessIdentity, is_network, presence};

/// Returns the recovery that runs, or ran last; `None` when there was none yet, or the file cannot be parsed
/// (it is only a view: the next run replaces it). A run whose process is gone is `aborted`.
pub fn read_current(dir: &StateDir) -> Option<Snapshot> {
    let path = dir.paths.recovery_current();
    let seen = parse(&path)?;
    if seen.outcome != RecoveryOutcome::Running || may_run(dir, &seen) {
        return Some(seen);
    }
    // The run may have ended between the look at the file and the look at its process.
    let again = parse(&path)?;
    if again.recovery_id != seen.recovery_id {
        return Some(again);
    }
    Some(without_writer(dir, again))
}

/// Returns what a snapshot means whose writer is certainly gone. The record of the end is written before the
/// last snapshot: the writer may have died between the two.
pub(super) fn without_writer(dir: &StateDir, mut snapshot: Snapshot) -> Snapshot {
    if snapshot.outcome != RecoveryOutcome::Running {
        return snapshot;
    }
    match read_last(dir) {
        Ok(Some(last)) if last.snapshot.recovery_id == snapshot.recovery_id => last.snapshot,
        _ => {
            snapshot.outcome = RecoveryOutcome::Aborted;
            snapshot
        }
    }
}

pub(super) fn parse(path: &Path) -> Option<Snapshot> {
    serde_json::from_slice(&read_optional(path).ok()??).ok()
}

/// Whether the writer may be alive; false only on evidence.
fn may_run(dir: &StateDir, snapshot: &Snapshot) -> bool {
    let here = Host::this();
    if here.is_later_boot_of(&snapshot.host) {
        return false;
    }
    if !here.shares_processes_with(&snapshot.host) {
        // The process cannot be seen from here. The lock that it held while it ran can be, but not through a
        // network.
        let lock = dir.paths.recovery_lock();
        return is_network(&dir.paths.recovery()).is_some()
            || is_held(&lock).unwrap_or_else(|e| !e.is_not_found());
    }
    let writer = ProcessIdentity { pid: snapshot.pid, start_time: snapshot.process_start_time };
    if presence(writer) == Presence::Gone {
        return false;
    }
    // The process lives, but its run may be over and its last snapshot could not be written.
    is_held(&dir.paths.recovery_lock()).unwrap_or(true)
}
