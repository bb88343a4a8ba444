//! From the command's start to its end: heartbeats, the time limit, cancels, interruptions.
//!
//! The log, not the signal, says whether the end was requested. With a cancel on record it is a cancel, whenever
//! the supervisor reads it. A signal without one comes from outside (a shutdown, a logout, a signal sent by
//! hand); then the attempt is interrupted, whatever exit status the command still gives.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitStatus, kill_process_group};
use tracing::{debug, info};

use super::claim::Decisions;
use super::heartbeat_writer::HeartbeatWriter;
use super::peak::Peak;
use super::settings::SupervisorHooks;
use super::signals::Signals;
use super::tree::{KILL_WAIT, Tree, reap};
use crate::durable::error_chain;
use crate::logging::events;
use crate::queue::EndedBy;
use crate::state::Clock;

/// The end of a command that died of a signal, or has a handler for one and so may have ended in order because of
/// it, is not recorded before this time: the shutdown of a machine or session signals the processes one after the
/// other, and the supervisor may be the last.
const SETTLING: Duration = Duration::from_millis(500);
/// The signals of such a shutdown.
const FROM_OUTSIDE: [Signal; 3] = [Signal::TERM, Signal::HUP, Signal::INT];

/// How the command ended.
#[derive(Debug, Clone)]
pub(super) struct CommandEnd {
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) cause: Cause,
}

/// Why the command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// The command itself, as far as is known.
    Itself,
    /// Its time was over.
    TimeLimit,
    /// A cancel is on record.
    Cancel(EndedBy),
    /// A signal from outside, with no recorded cancel.
    Outside(EndedBy),
}

/// A command that runs.
pub(super) struct Watch<'a, 'd, 'p> {
    pub(super) command: Pid,
    pub(super) signals: &'a Signals,
    pub(super) decisions: &'a mut Decisions<'d>,
    pub(super) heartbeat: &'a mut HeartbeatWriter<'p>,
    pub(super) hooks: &'a SupervisorHooks<'a>,
    pub(super) clock: &'a Clock,
    pub(super) time_limit: Option<Duration>,
    pub(super) kill_grace: Duration,
    pub(super) tree: &'a Tree<'a>,
    pub(super) peak: &'a mut Peak,
}

/// Why the command is being ended, and its grace.
#[derive(Debug, Clone)]
struct Ending {
    cause: Cause,
    kill_at: Instant,
    /// When SIGKILL was first sent.
    killed: Option<Instant>,
}

impl Watch<'_, '_, '_> {
    /// Waits for the command's end; afterwards it is reaped.
    pub(super) fn until_the_end(&mut self) -> CommandEnd {
        let begun = Instant::now();
        // Old kernels have no pidfds; then SIGCHLD ends the wait.
        let pidfd = rustix::process::pidfd_open(self.command, PidfdFlags::empty()).ok();
        let mut ending: Option<Ending> = None;
        loop {
            // Reaping loses this information. It is read while the command lives, too: the command may end right
            // after that.
            let has_handler = handles_requests_to_end(self.command);
            let (mut ended, is_child_left) = reap();
            let status = ended.remove(&self.command.as_raw_nonzero().get().unsigned_abs());
            // Without a child there is nothing to wait for, even if its status was lost.
            if status.is_some() || !is_child_left {
                return self.conclude(status, ending, has_handler);
            }
            let deadline = self.time_limit.map(|limit| begun + limit);
            self.peak.look_if_due();
            ending = self.press(ending, deadline);
            let next = ending.as_ref().map(|e| e.kill_at).or(deadline);
            let until = next.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            self.wait(pidfd.as_ref().map(AsFd::as_fd), until);
        }
    }

    fn press(&mut self, ending: Option<Ending>, deadline: Option<Instant>) -> Option<Ending> {
        let now = Instant::now();
        match ending {
            None => {
                let is_over = deadline.is_some_and(|d| now >= d);
                let cause = if is_over { Cause::TimeLimit } else { self.wish()? };
                tell_ending(&cause);
                self.signal(Signal::TERM);
                // A stopped process handles a signal only once it continues.
                self.signal(Signal::CONT);
                Some(Ending { cause, kill_at: now + self.kill_grace, killed: None })
            }
            Some(ending) if now >= ending.kill_at => {
                if ending.killed.is_none() {
                    info!(
                        event = events::ATTEMPT_INTERRUPTED,
                        "its command did not end when told to, and gets SIGKILL"
                    );
                }
                self.signal(Signal::KILL);
                self.tree.kill_group();
                let killed = ending.killed.unwrap_or(now);
                if killed.elapsed() >= KILL_WAIT {
                    self.withstand();
                }
                Some(Ending { kill_at: now + Duration::from_secs(1), killed: Some(killed), ..ending })
            }
            ending => ending,
        }
    }

    /// The reason to end the command, if there is one.
    fn wish(&mut self) -> Option<Cause> {
        let asked = self.signals.asked();
        // A cancel is in the log before the signal is sent.
        let looked = if asked.is_some() { self.decisions.look() } else { self.decisions.look_if_due() };
        if let Err(e) = looked {
            self.notice(&format!("the log's decisions cannot be read: {}", error_chain(&e)));
        }
        if let Some(by) = self.decisions.cancelled() {
            return Some(Cause::Cancel(by.clone()));
        }
        let by = asked?.ended_by(self.clock.now());
        // Write it at once: a machine that shuts down may leave no time to record the end.
        if let Err(e) = self.heartbeat.interrupted(by.clone()) {
            self.notice(&format!("the sentinel does not say by whom it was interrupted: {e}: {}", e.source));
        }
        Some(Cause::Outside(by))
    }

    /// Notes in the sentinel which processes do not end.
    fn withstand(&mut self) {
        let left = self.tree.members();
        if left != self.heartbeat.sentinel().cannot_end
            && let Err(e) = self.heartbeat.withstanding(&left)
        {
            self.notice(&format!("the sentinel does not say what cannot be ended: {e}: {}", e.source));
        }
    }

    fn notice(&self, text: &str) {
        (self.hooks.notice)(text);
    }

    /// Signals the whole tree, and the process group too, whose members cannot slip away between two scans.
    fn signal(&self, signal: Signal) {
        // A group that is gone needs no signal, and members that have left it are found below.
        let _ = kill_process_group(self.command, signal);
        let others = self.tree.members().into_iter().filter(|p| {
            let group = i32::try_from(p.pid).ok().and_then(Pid::from_raw);
            rustix::process::getpgid(group).is_ok_and(|g| g != self.command)
        });
        for process in others {
            if let Err(e) = crate::system::signal_process(process, signal) {
                debug!(event = events::TROUBLE, "process {} gets no {signal:?}: {e}", process.pid);
            }
        }
    }

    fn wait(&mut self, pidfd: Option<BorrowedFd<'_>>, longest: Duration) {
        let longest = longest.min(self.decisions.until_next()).min(self.peak.until_next());
        let others: Vec<BorrowedFd<'_>> = pidfd.into_iter().chain(self.decisions.changes()).collect();
        wait_for(self.signals, &others, self.heartbeat, self.hooks.notice, longest);
    }

    fn conclude(
        &mut self,
        status: Option<WaitStatus>,
        ending: Option<Ending>,
        has_handler: bool,
    ) -> CommandEnd {
        let exit_code = status.and_then(WaitStatus::exit_status);
        let signal = status.and_then(WaitStatus::terminating_signal);
        let cause = match ending {
            Some(ending) => ending.cause,
            None => self.cause_of(exit_code, signal, has_handler),
        };
        CommandEnd { exit_code, signal, cause }
    }

    /// The cause when this supervisor did not end the command. A cancel that is on record by now came too late.
    fn cause_of(&mut self, exit_code: Option<i32>, signal: Option<i32>, has_handler: bool) -> Cause {
        let looks_like = |s: &Signal| signal == Some(s.as_raw()) || exit_code == Some(128 + s.as_raw());
        let may_be_from_outside = FROM_OUTSIDE.iter().any(looks_like);
        let begun = Instant::now();
        while (may_be_from_outside || has_handler)
            && self.signals.asked().is_none()
            && begun.elapsed() < SETTLING
        {
            self.wait(None, SETTLING.saturating_sub(begun.elapsed()));
        }
        match self.wish() {
            Some(Cause::Outside(by)) => Cause::Outside(by),
            Some(_) => Cause::Itself,
            None => self.end_of_the_host(may_be_from_outside).map_or(Cause::Itself, Cause::Outside),
        }
    }

    fn end_of_the_host(&self, may_be_from_outside: bool) -> Option<EndedBy> {
        let by = may_be_from_outside.then(|| (self.hooks.host_is_ending)()).flatten()?;
        Some(EndedBy { at: self.clock.now(), by, signal: None, pid: None, uid: None })
    }
}

fn tell_ending(cause: &Cause) {
    let why = match cause {
        Cause::TimeLimit => "it exceeded its time limit".to_owned(),
        Cause::Cancel(by) => format!("cancelled by {}", by.by),
        Cause::Outside(by) => format!("interrupted by {}", by.by),
        Cause::Itself => return,
    };
    info!(event = events::ATTEMPT_INTERRUPTED, "its command is told to end: {why}");
}

/// Whether a process, which may be a zombie, has a handler for SIGTERM or SIGHUP.
fn handles_requests_to_end(pid: Pid) -> bool {
    let status = crate::durable::plain::read_text(format!("/proc/{}/status", pid.as_raw_nonzero()))
        .unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    [Signal::TERM, Signal::HUP].iter().any(|signal| caught & (1 << (signal.as_raw() - 1)) != 0)
}

/// Waits for a signal, a child's end, one of `others` or the next heartbeat, at most `longest`; renews the
/// heartbeat if that is due.
pub(super) fn wait_for(
    signals: &Signals,
    others: &[BorrowedFd<'_>],
    heartbeat: &mut HeartbeatWriter<'_>,
    notice: &dyn Fn(&str),
    longest: Duration,
) {
    let timeout = longest.min(heartbeat.until_next());
    let timeout = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    let output = heartbeat.waited();
    let mut waited = vec![PollFd::new(signals, PollFlags::IN)];
    waited.extend(others.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
    waited.extend(output.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
    // A signal that interrupts the wait ends it too.
    let _ = poll(&mut waited, Some(&timeout));
    signals.drain();
    if let Err(e) = heartbeat.beat_if_due() {
        notice(&format!("{e}: {}", e.source));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use rustix::process::{WaitId, WaitIdOptions, waitid};

    use super::*;

    #[test]
    fn handlers_of_zombie() {
        for (script, expected) in [("trap : TERM; exit 0", true), ("exit 0", false)] {
            let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
            let pid = Pid::from_child(&child);
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(pid), options).unwrap();
            assert_eq!(handles_requests_to_end(pid), expected, "{script}");
            child.wait().unwrap();
        }
    }

    #[test]
    fn handlers_of_living_command() {
        let cases = [
            ("trap : TERM", true),
            ("trap : HUP", true),
            ("trap : TERM HUP INT", true),
            // None of these ends in order because of SIGTERM or SIGHUP.
            (":", false),
            ("trap '' TERM HUP", false),
            ("trap : USR1", false),
        ];
        for (setup, expected) in cases {
            let script = format!("{setup}; echo; read end");
            // A shell sets no trap for a signal that it was started to ignore, as nohup does for these tests.
            let mut command = Command::new("env");
            command.args(["--default-signal", "sh", "-c", &script]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            // By then the process is in the state that the case describes.
            child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
            let said = handles_requests_to_end(Pid::from_child(&child));
            // Its input ends.
            drop(child.stdin.take());
            child.wait().unwrap();
            assert_eq!(said, expected, "{setup}");
        }
    }
}
