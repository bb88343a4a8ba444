//! Runs the command under a lock: starts it so that it can be recognised whatever it does, waits for it, and ends
//! it when this process is told to end.
//!
//! The command is recognised by things that it cannot clear: it inherits the locked descriptor, as with flock(1),
//! and is in a control group of its own where one can be made; its PID and start time are recorded as well, and
//! its environment has the lock's marks. So when a `lock` process is killed, the repository stays with its
//! command and with everything that the command has started.
//!
//! SIGTERM, and the SIGHUP of a lost terminal, end the command and all its descendants: they get the signal,
//! SIGTERM after half of the grace, and SIGKILL after all of it or when the signal comes again; when all have
//! gone, the lock is given back. A process that cannot be ended (another user's, one in the middle of a call to a
//! broken device, one in a frozen group) keeps the lock: the metadata names it, and the lock is free once it has
//! gone. An interrupt or quit from the terminal reaches the command directly, and this process waits for it, as
//! system(3) does.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use signal_hook::SigId;

use super::grant::LockGrant;
use crate::durable::error_chain;
use crate::jobs::lock_name;
use crate::logging::events;
use crate::state::StateDir;
use crate::system::{Cgroup, ProcessIdentity, descendants, inherited, process_table, signal_process};
use tracing::debug;

/// How long to wait until killed processes are gone.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// Time between two checks while remaining processes are being ended.
const LOOK: Duration = Duration::from_millis(50);

/// Catches the signals to this process while its command runs.
pub(super) struct Told {
    wake: UnixStream,
    asking: Vec<(Signal, Arc<AtomicBool>)>,
    ids: Vec<SigId>,
}

impl Told {
    /// From here on these signals do not end this process. A SIGHUP that nohup has set to be ignored stays
    /// ignored.
    pub(super) fn listen() -> io::Result<Told> {
        let (wake, write) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let mut told = Told { wake, asking: Vec::new(), ids: Vec::new() };
        for signal in [Signal::TERM, Signal::HUP] {
            if !inherited::is_ignored(signal.as_raw()) {
                let flag = Arc::new(AtomicBool::new(false));
                told.ids.push(signal_hook::flag::register(signal.as_raw(), flag.clone())?);
                told.asking.push((signal, flag));
            }
        }
        let asking = told.asking.iter().map(|(signal, _)| *signal).collect::<Vec<_>>();
        for signal in asking.into_iter().chain([Signal::CHILD, Signal::INT, Signal::QUIT]) {
            told.ids.push(signal_hook::low_level::pipe::register(signal.as_raw(), write.try_clone()?)?);
        }
        Ok(told)
    }

    /// A signal that asks this process to end, if one came since the last call.
    fn asked(&self) -> Option<Signal> {
        let came = self.asking.iter().find(|(_, flag)| flag.swap(false, Ordering::SeqCst));
        came.map(|(signal, _)| *signal)
    }

    fn wait(&self, longest: Option<Duration>) {
        let timeout = longest.map(|longest| Timespec {
            tv_sec: i64::try_from(longest.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(longest.subsec_nanos()),
        });
        // A signal that interrupts the wait ends it too.
        let _ = poll(&mut [PollFd::new(&self.wake, PollFlags::IN)], timeout.as_ref());
        let mut bytes = [0; 64];
        while matches!((&self.wake).read(&mut bytes), Ok(n) if n > 0) {}
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        for id in &self.ids {
            signal_hook::low_level::unregister(*id);
        }
    }
}

/// How a command under a lock has ended.
pub(super) struct CommandEnd {
    /// Its exit status, or 128 and the number of the signal that asked for its end.
    pub(super) status: i32,
    /// Whether no process is left of those that were to be ended.
    pub(super) is_over: bool,
    /// The processes that could not be ended, as far as they can be seen.
    pub(super) left: Vec<ProcessIdentity>,
}

/// The processes under a lock.
pub(super) struct UnderGrant {
    child: Child,
    group: Option<Cgroup>,
}

impl UnderGrant {
    /// Starts the command, with the locked descriptor open in it, and records it in the lock's metadata.
    pub(super) fn start(
        dir: &StateDir,
        grant: &mut LockGrant,
        mut command: Command,
        wants_group: bool,
    ) -> io::Result<UnderGrant> {
        // Orphaned descendants become children of this process, so that it can end them. Only a kernel without
        // subreapers refuses: then the marks have to suffice.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        let id = &dir.identity;
        let name = lock_name(&id.state_id.to_string(), id.incarnation, &grant.lock_id);
        let mut group = wants_group.then(|| Cgroup::create(&name).ok()).flatten();
        grant.share_with_children(true)?;
        let (started, is_inside) = match &group {
            // This process enters the group and leaves it again after the spawn, so that no descendant can be
            // outside.
            Some(group) => group.around(|| command.spawn()),
            None => (command.spawn(), false),
        };
        if !is_inside {
            // A sweep may have removed the empty group. An empty group that the command is not in would seem to
            // prove that nothing of the command lives.
            remove(group.take().as_ref());
        }
        grant.share_with_children(false)?;
        let child = match started {
            Ok(child) => child,
            Err(e) => {
                remove(group.as_ref());
                return Err(e);
            }
        };
        let identity = ProcessIdentity::of(child.id());
        let group_path = group.as_ref().map(|group| group.path().to_owned());
        if let Err(e) = grant.record_command(identity, group_path) {
            // The inherited descriptor already identifies most of the command's processes, and the marks the
            // others.
            debug!(event = events::TROUBLE, "the lock does not name its command: {}", error_chain(&e));
        }
        Ok(UnderGrant { child, group })
    }

    /// Waits for the command's end, and ends the command when that is asked for.
    pub(super) fn wait(mut self, told: &Told, grace: Duration) -> io::Result<CommandEnd> {
        let mut ending: Option<Ending> = None;
        loop {
            let status = self.child.try_wait()?;
            let left = if ending.is_some() { self.processes() } else { Vec::new() };
            let is_hopeless = ending.as_ref().is_some_and(Ending::is_hopeless);
            let is_over =
                status.is_some() && left.is_empty() && (ending.is_none() || !self.has_unseen_members());
            if is_hopeless || is_over {
                remove(self.group.as_ref());
                let asked = ending.map(|ending| 128 + ending.by.as_raw());
                let status = asked.or(status.map(exit_status)).unwrap_or(1);
                return Ok(CommandEnd { status, is_over, left });
            }
            let asked = told.asked();
            ending = match (ending, asked) {
                (None, Some(by)) => Some(Ending::begin(by, grace)),
                (Some(ending), Some(_)) => Some(ending.at_once()),
                (ending, None) => ending,
            };
            let next = ending.as_mut().map(|ending| ending.press(&self));
            told.wait(next);
        }
    }

    /// Whether a process of the command lives that `/proc` may hide (`hidepid` hides other users' processes).
    /// Called after the command itself was waited for: the rest are children of this process, and members of the
    /// group.
    fn has_unseen_members(&self) -> bool {
        let may_be_populated = |group: &Cgroup| !matches!(group.is_populated(), Ok(false));
        self.group.as_ref().is_some_and(may_be_populated) || has_living_children()
    }

    /// The command and its descendants, as far as they are known.
    fn processes(&self) -> Vec<ProcessIdentity> {
        let mut found = descendants(&process_table(), ProcessIdentity::this());
        found.extend(self.group.iter().flat_map(Cgroup::processes));
        found.sort_by_key(|p| p.pid);
        found.dedup();
        found.retain(|p| p.pid != std::process::id());
        found
    }

    fn signal(&self, signal: Signal) {
        for process in self.processes() {
            // The process has gone, or is another user's: one that is left keeps the lock.
            let _ = signal_process(process, signal);
        }
    }
}

/// The requested end of a command.
#[derive(Debug, Clone, Copy)]
struct Ending {
    by: Signal,
    begun: Instant,
    grace: Duration,
    /// 0: no signal was sent; 1: the requested one was sent; 2: only SIGKILL is left to be sent.
    step: u32,
}

impl Ending {
    fn begin(by: Signal, grace: Duration) -> Ending {
        Ending { by, begun: Instant::now(), grace, step: 0 }
    }

    /// Whether SIGKILL did not help: the processes are another user's or in the middle of a call to a broken
    /// device.
    fn is_hopeless(&self) -> bool {
        self.begun.elapsed() >= self.grace + KILL_WAIT
    }

    fn at_once(self) -> Ending {
        Ending { grace: Duration::ZERO, step: 2, ..self }
    }

    /// Sends the signal that is due; returns the time until the next check.
    fn press(&mut self, what: &UnderGrant) -> Duration {
        let since = self.begun.elapsed();
        if since >= self.grace {
            what.signal(Signal::KILL);
            what.group.iter().for_each(|group| drop(group.kill()));
        } else if self.step == 0 {
            what.signal(self.by);
            // A stopped process handles a signal only once it continues.
            what.signal(Signal::CONT);
            self.step = 1;
        } else if self.step == 1 && since >= self.grace / 2 {
            what.signal(Signal::TERM);
            self.step = 2;
        }
        LOOK
    }
}

/// Whether this process has living children, adopted ones included; ended ones are reaped.
fn has_living_children() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    loop {
        match waitid(WaitId::All, options) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Err(Errno::CHILD) => return false,
            Ok(None) | Err(_) => return true,
        }
    }
}

fn remove(group: Option<&Cgroup>) {
    if let Some(group) = group {
        // Descendants of the command are still in it: the next sweep that finds it empty removes it.
        let _ = group.remove();
    }
}

fn exit_status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
