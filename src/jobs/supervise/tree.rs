//! The descendants of a supervisor: found, signalled, reaped.
//!
//! The supervisor is a subreaper: a descendant whose parent dies becomes its child, whatever session or
//! group it is in. So "no child left" (ECHILD) proves that the whole tree is gone.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Signal, WaitOptions, WaitStatus, wait};

use crate::system::{Cgroup, ProcessIdentity, signal_process};

/// How long it may take until killed processes are gone; a process in the middle of a system call to a
/// broken device may never be.
const KILL_WAIT: Duration = Duration::from_secs(20);

/// What was done about what a command left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Leftovers {
    /// How many processes outlived the command.
    pub(super) ended: u32,
    /// Whether all of them are gone.
    pub(super) tree_empty: bool,
}

/// Reaps whatever has ended; the wait statuses by PID, and whether a child is left.
pub(super) fn reap() -> (HashMap<u32, WaitStatus>, bool) {
    let mut ended = HashMap::new();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                ended.insert(pid.as_raw_nonzero().get().unsigned_abs(), status);
            }
            Ok(None) => return (ended, true),
            Err(Errno::INTR) => {}
            Err(_) => return (ended, false),
        }
    }
}

/// All living descendants of this process.
pub(super) fn descendants() -> Vec<ProcessIdentity> {
    let mut found = Vec::new();
    let mut parents = vec![std::process::id()];
    while let Some(parent) = parents.pop() {
        for pid in children_of(parent) {
            parents.push(pid);
            found.extend(ProcessIdentity::of(pid));
        }
    }
    found
}

fn children_of(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|l| l.split_ascii_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// Signals all living descendants.
pub(super) fn signal_all(signal: Signal) {
    for process in descendants() {
        // Gone meanwhile, or another user's: what matters is what is left in the end.
        let _ = signal_process(process, signal);
    }
}

/// SIGKILL to all of a control group at once: none can slip away by forking.
pub(super) fn kill_group(group: Option<&Cgroup>) {
    if let Some(group) = group {
        // Where that fails the signals to each do what they can.
        let _ = group.kill();
    }
}

/// Ends what is left: SIGTERM, SIGKILL after the grace, until no child is left. `wait` waits for a
/// child's end, at most so long, and keeps the heartbeat going.
pub(super) fn end_leftovers(
    grace: Duration,
    group: Option<&Cgroup>,
    mut wait: impl FnMut(Duration),
) -> Leftovers {
    if !reap().1 {
        return Leftovers { ended: 0, tree_empty: true };
    }
    let ended = u32::try_from(descendants().len()).unwrap_or(u32::MAX);
    signal_all(Signal::TERM);
    signal_all(Signal::CONT);
    let begun = Instant::now();
    while reap().1 {
        let waited = begun.elapsed();
        if waited >= grace + KILL_WAIT {
            return Leftovers { ended, tree_empty: false };
        }
        if waited >= grace {
            signal_all(Signal::KILL);
            kill_group(group);
        }
        wait(Duration::from_millis(50));
    }
    Leftovers { ended, tree_empty: true }
}
