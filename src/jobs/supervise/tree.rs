//! The processes of an attempt: found, signalled, reaped.
//!
//! The supervisor is a subreaper: a descendant whose parent dies becomes its child, in any session or group. Not
//! all of these are the job's: see [`Kinship`]. One scan can prove that the tree is gone: it finds no process,
//! and during it no process was reaped that could have started another.
//!
//! An attempt is not over while one of its processes lives. A process that does not end after SIGKILL (another
//! user's, one that waits in the kernel, one in a frozen group) is reported, and waited for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, wait, waitpid};

use crate::durable::Backoff;
use crate::jobs::kinship::Kinship;
use crate::logging::events;
use crate::system::{Cgroup, ProcessIdentity, signal_process};
use tracing::debug;

/// A process that still exists this long after SIGKILL is reported as one that cannot be ended, or not yet.
pub(super) const KILL_WAIT: Duration = Duration::from_secs(2);
/// The time between two scans for remaining processes; the end of a child ends the wait.
const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(5);

/// The PID of the child that is no part of the job: the keeper of its output. 0 when there is none.
static APART: AtomicU32 = AtomicU32::new(0);

/// From here on this child is neither listed, nor signalled, nor reaped.
pub(super) fn set_apart(child: Option<u32>) {
    APART.store(child.unwrap_or(0), Ordering::Relaxed);
}

/// Reaps all children that have ended; returns their wait statuses by PID, and whether a child is left.
pub(super) fn reap() -> (HashMap<u32, WaitStatus>, bool) {
    let children = children_of(std::process::id());
    match APART.load(Ordering::Relaxed) {
        // Without a list of children (some kernels give none) the keeper is reaped like all others.
        0 => reap_any(),
        _ if children.is_empty() => reap_any(),
        apart => reap_these(children.into_iter().filter(|&pid| pid != apart)),
    }
}

/// Reaps the children one by one, so that the resource use of the keeper does not count as the job's.
fn reap_these(children: impl Iterator<Item = u32>) -> (HashMap<u32, WaitStatus>, bool) {
    let (mut ended, mut is_any_left) = (HashMap::new(), false);
    for child in children {
        let Some(pid) = i32::try_from(child).ok().and_then(Pid::from_raw) else { continue };
        loop {
            match waitpid(Some(pid), WaitOptions::NOHANG) {
                Ok(Some((_, status))) => drop(ended.insert(child, status)),
                Ok(None) => is_any_left = true,
                Err(Errno::INTR) => continue,
                // It is not a child any more.
                Err(_) => {}
            }
            break;
        }
    }
    // Children of a process that has just ended became children of this one: the next scan finds them.
    (ended, is_any_left)
}

fn reap_any() -> (HashMap<u32, WaitStatus>, bool) {
    let mut ended = HashMap::new();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                ended.insert(pid.as_raw_nonzero().get().unsigned_abs(), status);
            }
            Ok(None) => return (ended, true),
            Err(Errno::INTR) => {}
            Err(_) => return (ended, false), // No child is left.
        }
    }
}

fn children_of(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks
        .flatten()
        .filter_map(|task| crate::durable::plain::read_text(task.path().join("children")).ok());
    lists
        .flat_map(|l| l.split_ascii_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// What the caller that ends a tree is asked to do.
pub(super) enum Step<'a> {
    /// Wait for a child's end, at most so long, and keep the heartbeat going.
    Wait(Duration),
    /// Report that these processes do not end.
    Withstand(&'a [ProcessIdentity]),
}

/// All processes of an attempt, seen from its supervisor.
pub(super) struct Tree<'a> {
    kinship: Kinship,
    /// The control group of the command and all its descendants, if it could be made.
    group: Option<&'a Cgroup>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(kinship: Kinship, group: Option<&'a Cgroup>) -> Tree<'a> {
        Tree { kinship, group }
    }

    /// The living processes of the job.
    pub(super) fn members(&self) -> Vec<ProcessIdentity> {
        let mut found = Vec::new();
        let mut parents = vec![std::process::id()];
        while let Some(parent) = parents.pop() {
            let apart = APART.load(Ordering::Relaxed);
            for pid in children_of(parent).into_iter().filter(|&pid| pid != apart && !self.is_foreign(pid)) {
                parents.push(pid);
                found.extend(ProcessIdentity::of(pid));
            }
        }
        let grouped = self.group.map(Cgroup::processes).unwrap_or_default();
        let others: Vec<ProcessIdentity> = grouped.into_iter().filter(|p| !found.contains(p)).collect();
        found.extend(others);
        found
    }

    fn is_foreign(&self, pid: u32) -> bool {
        let is_fenced = || self.group.is_some_and(|group| group.processes().iter().any(|p| p.pid == pid));
        self.kinship.is_foreign(pid) && !is_fenced()
    }

    /// The remaining processes; empty only when it is proven that none is left.
    fn left(&self) -> Vec<ProcessIdentity> {
        loop {
            reap();
            let members = self.members();
            // A process that ended during the scan may have started another, which the scan has missed.
            if !members.is_empty() || reap().0.is_empty() {
                return members;
            }
        }
    }

    /// Sends SIGKILL to the whole control group at once, so that no process can escape by forking.
    pub(super) fn kill_group(&self) {
        if let Some(Err(e)) = self.group.map(Cgroup::kill) {
            // If that fails, the signals to each process have to suffice.
            debug!(event = events::TROUBLE, "the job's control group cannot be killed as one: {e}");
        }
    }

    /// Ends the remaining processes: SIGTERM, then SIGKILL after the grace. Waits until all have gone, however
    /// long that takes. Returns their number.
    pub(super) fn end(&self, grace: Duration, mut step: impl FnMut(Step<'_>)) -> u32 {
        let mut left = self.left();
        let ended = u32::try_from(left.len()).unwrap_or(u32::MAX);
        signal_each(&left, Signal::TERM);
        // A stopped process handles a signal only once it continues.
        signal_each(&left, Signal::CONT);
        let (begun, mut told) = (Instant::now(), Vec::new());
        let (mut pause, mut backoff) = (SHORT, Backoff::new(2 * SHORT, LONG));
        while !left.is_empty() {
            let waited = begun.elapsed();
            if waited >= grace {
                signal_each(&left, Signal::KILL);
                self.kill_group();
            }
            if waited >= grace + KILL_WAIT {
                if left != told {
                    step(Step::Withstand(&left));
                    told.clone_from(&left);
                }
                pause = backoff.pause();
            }
            step(Step::Wait(pause));
            left = self.left();
        }
        ended
    }
}

fn signal_each(processes: &[ProcessIdentity], signal: Signal) {
    for process in processes {
        if let Err(e) = signal_process(*process, signal) {
            // The process is gone, or is another user's: only the processes that are left in the end count.
            debug!(event = events::TROUBLE, "process {} gets no {signal:?}: {e}", process.pid);
        }
    }
}
