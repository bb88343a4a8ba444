//! Probes one process.

use std::os::unix::fs::MetadataExt;

use crate::durable::seeded_bug::SeededBug;

use super::process::{Presence, ProcessIdentity, is_no_process, presence_unseen, process_stat};

/// A process as it was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessProbe {
    /// Whether it lives.
    pub presence: Presence,
    /// A signal or a debugger keeps it from running.
    pub is_stopped: bool,
    /// It has ended, and its parent has not reaped it.
    pub is_zombie: bool,
    /// Its number belongs to another process by now.
    pub is_succeeded: bool,
}

/// Probes exactly this process; a later process with the same PID is not taken for it.
pub(crate) fn probe_process(process: ProcessIdentity) -> ProcessProbe {
    let nothing =
        ProcessProbe { presence: Presence::Gone, is_stopped: false, is_zombie: false, is_succeeded: false };
    // The cheapest check first: most processes that are probed after a crash are gone.
    if is_no_process(process.pid) {
        return nothing;
    }
    match process_stat(process.pid) {
        Ok(stat) if stat.identity != process && !SeededBug::TrustPidAlone.is_on() => {
            ProcessProbe { is_succeeded: true, ..nothing }
        }
        Ok(stat) if stat.is_dead => ProcessProbe { is_zombie: true, ..nothing },
        Ok(stat) => ProcessProbe { presence: Presence::Alive, is_stopped: stat.is_stopped, ..nothing },
        // Gone, or hidden by the mount options of /proc.
        Err(_) => ProcessProbe { presence: presence_unseen(process), ..nothing },
    }
}

/// The user a process acts as, when that is another than `expected`.
pub(crate) fn other_user_of(pid: u32, expected: u32) -> Option<u32> {
    let owner = std::fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    // The kernel shows root as the owner of a process that may not be dumped, whichever user it runs as. Only
    // then is `status` read, which the kernel takes long to write.
    let user = if owner == expected || owner != 0 { owner } else { effective_user(pid)? };
    (user != expected).then_some(user)
}

/// The user a process acts as; `None` when it is gone or may not be looked at.
pub fn user_of(pid: u32) -> Option<u32> {
    effective_user(pid)
}

fn effective_user(pid: u32) -> Option<u32> {
    let status = crate::durable::plain::read_text(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|l| l.strip_prefix("Uid:"))?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use rustix::process::Signal;

    use super::super::process::{signal_process, start_time};
    use super::*;

    fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
        let begun = std::time::Instant::now();
        while !condition() {
            assert!(begun.elapsed().as_secs() < 60, "waited for {what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn probe_stopped_zombie_and_successor() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = ProcessIdentity { pid: child.id(), start_time: start_time(child.id()).unwrap() };
        assert_eq!(probe_process(process).presence, Presence::Alive);
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(other_user_of(process.pid, own), None);
        assert_eq!(other_user_of(process.pid, own + 1), Some(own));
        let successor = ProcessIdentity { start_time: process.start_time - 1, ..process };
        assert!(probe_process(successor).is_succeeded);
        assert!(signal_process(process, Signal::STOP).unwrap());
        wait_for("the stop", || probe_process(process).is_stopped);
        assert_eq!(probe_process(process).presence, Presence::Alive);
        assert!(signal_process(process, Signal::KILL).unwrap());
        wait_for("the zombie", || probe_process(process).is_zombie);
        assert_eq!(probe_process(process).presence, Presence::Gone);
        child.wait().unwrap();
        assert!(!probe_process(process).is_zombie);
    }
}
