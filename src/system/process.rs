//! Processes by identity: a PID alone means nothing, because PIDs are reused.
//!
//! Identity is the PID with its start time in clock ticks since boot (field 22 of `/proc/PID/stat`,
//! proc_pid_stat(5), without the shift of a time namespace), within one boot and one process namespace.
//! Signals go through a pidfd that was opened before the identity was compared, so they cannot reach a
//! successor.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::boot_clock::{since_boot, unshifted};
use super::pids::pids;
use crate::durable::seeded_bug::SeededBug;

/// A process that cannot be confused with a later one of the same PID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ProcessIdentity {
    /// The process.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
}

impl ProcessIdentity {
    /// This process.
    pub fn this() -> ProcessIdentity {
        let pid = std::process::id();
        ProcessIdentity { pid, start_time: start_time(pid).unwrap_or(0) }
    }

    /// The process that has this PID now; `None` when there is none, or it is a zombie.
    pub fn of(pid: u32) -> Option<ProcessIdentity> {
        let stat = Stat::read(pid).ok()?;
        (!stat.is_dead()).then_some(ProcessIdentity { pid, start_time: stat.start_time })
    }
}

/// How long ago a process of this boot started.
pub(crate) fn age_of(process: ProcessIdentity) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let started = Duration::from_millis(process.start_time.saturating_mul(1000) / per_second);
    since_boot().saturating_sub(started)
}

/// What is known about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It lives.
    Alive,
    /// It is gone, or a zombie, or the PID belongs to another process by now.
    Gone,
    /// A process has that PID but may not be examined.
    Hidden,
}

/// Whether exactly this process lives.
pub fn presence(process: ProcessIdentity) -> Presence {
    match Stat::read(process.pid) {
        Ok(stat) if stat.is_dead() => Presence::Gone,
        Ok(stat) if stat.start_time != process.start_time && !SeededBug::TrustPidAlone.is_on() => {
            Presence::Gone
        }
        Ok(_) => Presence::Alive,
        Err(_) => presence_unseen(process),
    }
}

/// Whether nothing has this PID, not even a zombie, and nothing hidden.
pub(super) fn is_no_process(pid: u32) -> bool {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap_or(0));
    pid.is_none_or(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

/// With hidepid, /proc hides what kill(2) still sees.
pub(super) fn presence_unseen(process: ProcessIdentity) -> Presence {
    match Pid::from_raw(i32::try_from(process.pid).unwrap_or(0)) {
        Some(pid) => match rustix::process::test_kill_process(pid) {
            Err(rustix::io::Errno::SRCH) => Presence::Gone,
            _ if Stat::read(process.pid).is_ok() => presence(process),
            _ => Presence::Hidden,
        },
        None => Presence::Gone,
    }
}

/// When the process with this PID started, in clock ticks since boot.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    Stat::read(pid).ok().map(|s| s.start_time)
}

/// A process as `/proc/PID/stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    pub identity: ProcessIdentity,
    /// The process that is notified of its end: its parent.
    pub parent: u32,
    /// Its session: the PID of the process that opened it.
    pub session: u32,
    /// Whether it is stopped by a signal or a debugger.
    pub is_stopped: bool,
    /// Whether a debugger holds it.
    pub is_traced: bool,
    /// Whether it waits in the kernel for something that signals do not interrupt.
    pub is_uninterruptible: bool,
    /// Whether it has ended and only waits to be reaped.
    pub is_dead: bool,
    /// Processor time that it and its reaped children used, in clock ticks.
    pub cpu_ticks: u64,
}

/// A process as it is now, zombies included.
///
/// # Errors
/// `NotFound` when there is none, or it is hidden.
pub fn process_stat(pid: u32) -> io::Result<ProcessStat> {
    let stat = Stat::read(pid)?;
    Ok(ProcessStat {
        identity: ProcessIdentity { pid, start_time: stat.start_time },
        parent: stat.parent,
        session: stat.session,
        is_stopped: matches!(stat.state, b'T' | b't'),
        is_traced: stat.state == b't',
        is_uninterruptible: stat.state == b'D',
        is_dead: stat.is_dead(),
        cpu_ticks: stat.cpu_ticks,
    })
}

/// Longer than the line can be: some fifty numbers and a name of 64 characters at most.
const STAT_LENGTH: usize = 2048;

struct Stat {
    state: u8,
    parent: u32,
    session: u32,
    cpu_ticks: u64,
    threads: u32,
    start_time: u64,
}

impl Stat {
    fn read(pid: u32) -> io::Result<Stat> {
        // Read in one call: the kernel writes the text anew for every read.
        let mut text = [0; STAT_LENGTH];
        let length = crate::durable::plain::open(format!("/proc/{pid}/stat"))?.read(&mut text)?;
        let stat = Stat::parse(&text[..length]).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Stat { start_time: unshifted(stat.start_time), ..stat })
    }

    /// Parses the line. The name in brackets may contain anything, brackets too: fields are counted from the last
    /// one.
    fn parse(text: &[u8]) -> Option<Stat> {
        let end = text.iter().rposition(|&b| b == b')')?;
        let rest = std::str::from_utf8(&text[end + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
        Some(Stat {
            state: *fields.first()?.as_bytes().first()?,
            parent: fields.get(1)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            cpu_ticks: ticks(11)? + ticks(12)? + ticks(13)? + ticks(14)?,
            threads: fields.get(17)?.parse().ok()?,
            start_time: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether the process has ended. A leader that ended while another of its threads lives shows as a zombie
    /// with several threads.
    fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
    }
}

/// Sends a signal to exactly this process; false when it is gone.
pub fn signal_process(process: ProcessIdentity, signal: Signal) -> io::Result<bool> {
    match open_pidfd(process).map(|pidfd| pidfd.map(|pidfd| pidfd_send_signal(&pidfd, signal))) {
        Ok(None | Some(Err(Errno::SRCH))) => Ok(false),
        Ok(Some(Ok(()))) => Ok(true),
        // pidfd_open is refused by a filter of system calls, missing in the kernel, or out of descriptors.
        Ok(Some(Err(_))) | Err(_) => signal_by_number(process, signal),
    }
}

/// As [`signal_process`], without a pidfd. The identity is compared right before the signal, so the number would
/// have to pass to another process between two system calls.
fn signal_by_number(process: ProcessIdentity, signal: Signal) -> io::Result<bool> {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
    if presence(process) != Presence::Alive {
        return Ok(false);
    }
    match rustix::process::kill_process(pid, signal) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Ends exactly this process with SIGKILL and waits until it is gone, at most `wait_ms`; true when gone.
pub fn end_process(process: ProcessIdentity, wait_ms: u64) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    if !signal_process(process, Signal::KILL)? {
        return Ok(true);
    }
    let pidfd = match open_pidfd(process) {
        Ok(Some(pidfd)) => pidfd,
        Ok(None) => return Ok(true),
        Err(_) => return Ok(is_gone_within(process, wait_ms)),
    };
    let timeout = Timespec {
        tv_sec: i64::try_from(wait_ms / 1000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(wait_ms % 1000).unwrap_or(0) * 1_000_000,
    };
    let ready = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout))?;
    Ok(ready > 0)
}

/// Whether a process without an available pidfd is gone within this time.
fn is_gone_within(process: ProcessIdentity, wait_ms: u64) -> bool {
    let begun = std::time::Instant::now();
    while presence(process) != Presence::Gone {
        if begun.elapsed().as_millis() >= u128::from(wait_ms) {
            return false;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    true
}

/// A descriptor of exactly this process, which becomes readable when it ends; `None` when it is gone.
pub(crate) fn open_pidfd(process: ProcessIdentity) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    // The identity is compared after the descriptor was opened: from then on the descriptor cannot refer to
    // another process.
    Ok((presence(process) == Presence::Alive).then_some(pidfd))
}

/// The arguments of a process; empty for a zombie or when they may not be read.
pub fn command_line(pid: u32) -> Vec<String> {
    let text = crate::durable::plain::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.split(|&b| b == 0)
        .filter(|a| !a.is_empty())
        .map(|a| String::from_utf8_lossy(a).into_owned())
        .collect()
}

/// The environment of a process, as it was given at its start: `NAME=value` entries.
pub fn environment_of(pid: u32) -> io::Result<Vec<Vec<u8>>> {
    let text = crate::durable::plain::read(format!("/proc/{pid}/environ"))?;
    Ok(text.split(|&b| b == 0).filter(|e| !e.is_empty()).map(<[u8]>::to_vec).collect())
}

/// All living processes whose environment has every one of these `NAME=value` entries, or whose session is
/// `session`; this process is left out. It costs about 30 µs for each process of the machine.
///
/// The second value is the number of processes that could not be examined (other users').
pub fn marked_processes(marks: &[&str], session: Option<u32>) -> (Vec<ProcessIdentity>, usize) {
    let Ok(pids) = pids() else { return (Vec::new(), usize::MAX) };
    let own = std::process::id();
    let (mut found, mut hidden) = (Vec::new(), 0);
    for pid in pids.into_iter().filter(|&pid| pid != own) {
        let in_session = session.is_some_and(|s| session_of(pid) == Some(s));
        let is_marked = match environment_of(pid) {
            Ok(env) => !marks.is_empty() && marks.iter().all(|m| env.iter().any(|e| e == m.as_bytes())),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                hidden += 1;
                false
            }
            Err(_) => false,
        };
        if is_marked || in_session {
            found.extend(ProcessIdentity::of(pid));
        }
    }
    (found, hidden)
}

/// Whether this process leads its session.
pub(crate) fn leads_a_session() -> bool {
    let own = std::process::id();
    session_of(own) == Some(own)
}

/// The session of a process, from `/proc`: getsid(2) returns 0 for a session from outside this PID namespace,
/// which is no PID (and for which rustix 1.1 panics).
fn session_of(pid: u32) -> Option<u32> {
    Stat::read(pid).ok().map(|s| s.session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_of_own_process() {
        let age = age_of(ProcessIdentity::this());
        assert!(age < Duration::from_secs(3600), "{age:?}");
        assert!(since_boot() > age);
    }

    #[test]
    fn stat_with_brackets_in_name() {
        let stat = Stat::parse(b"7 (a) R 1 (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 3 0 12345 0 0").unwrap();
        assert_eq!((stat.state, stat.threads, stat.start_time), (b'S', 3, 12345));
    }

    #[test]
    fn presence_of_zombie_and_reused_pid() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        let born = start_time(pid).unwrap();
        while !Stat::read(pid).unwrap().is_dead() {
            std::thread::yield_now();
        }
        assert_eq!(presence(ProcessIdentity { pid, start_time: born }), Presence::Gone);
        child.wait().unwrap();
        let this = ProcessIdentity::this();
        assert_eq!(presence(this), Presence::Alive);
        let other = ProcessIdentity { start_time: this.start_time + 1, ..this };
        assert_eq!(presence(other), Presence::Gone);
    }

    #[test]
    fn marked_process_is_ended() {
        let mark = format!("RECOVERYCTL_TEST_MARK={}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").env(name, value).spawn().unwrap();
        let of_child = loop {
            let (found, _) = marked_processes(&[&mark], None);
            if let Some(p) = found.first() {
                break *p;
            }
        };
        assert_eq!(of_child.pid, child.id());
        assert!(end_process(of_child, 5_000).unwrap());
        child.wait().unwrap();
        assert!(marked_processes(&[&mark], None).0.is_empty());
    }
}
