//! From the command's start to its end: heartbeats, the time limit, the wish for its end.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitStatus, kill_process_group};

use super::pulse::Pulse;
use super::signals::Signals;
use super::tree;
use crate::system::Cgroup;

/// How the command ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommandEnd {
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) timed_out: bool,
    /// Somebody asked for the end while it ran.
    pub(super) end_wanted: bool,
}

/// A command that runs.
pub(super) struct Watch<'a, 'p> {
    pub(super) command: Pid,
    pub(super) signals: &'a Signals,
    pub(super) pulse: &'a mut Pulse<'p>,
    pub(super) notice: &'a dyn Fn(&str),
    pub(super) time_limit: Option<Duration>,
    pub(super) kill_grace: Duration,
    /// What the command and all its descendants are in, if it could be made.
    pub(super) group: Option<&'a Cgroup>,
}

/// Why the command is being ended, and until when it may end by itself.
#[derive(Debug, Clone, Copy)]
struct Ending {
    timed_out: bool,
    kill_at: Instant,
}

impl Watch<'_, '_> {
    /// Waits for the command's end; afterwards it is reaped.
    pub(super) fn until_the_end(&mut self) -> CommandEnd {
        let begun = Instant::now();
        // None on a kernel without them; SIGCHLD wakes us then.
        let pidfd = rustix::process::pidfd_open(self.command, PidfdFlags::empty()).ok();
        let mut ending: Option<Ending> = None;
        loop {
            let (mut ended, is_child_left) = tree::reap();
            let status = ended.remove(&self.command.as_raw_nonzero().get().unsigned_abs());
            // Without a child there is nothing to wait for, even if its status went astray.
            if status.is_some() || !is_child_left {
                return self.conclude(status, ending);
            }
            let deadline = self.time_limit.map(|limit| begun + limit);
            ending = self.press(ending, deadline);
            let next = ending.map(|e| e.kill_at).or(deadline);
            self.wait(pidfd.as_ref(), next);
        }
    }

    fn press(&mut self, ending: Option<Ending>, deadline: Option<Instant>) -> Option<Ending> {
        let now = Instant::now();
        match ending {
            None => {
                let timed_out = deadline.is_some_and(|d| now >= d);
                if !timed_out && !self.signals.end_wanted() {
                    return None;
                }
                self.signal(Signal::TERM);
                // A stopped one does not hear it otherwise.
                self.signal(Signal::CONT);
                Some(Ending { timed_out, kill_at: now + self.kill_grace })
            }
            Some(ending) if now >= ending.kill_at => {
                self.signal(Signal::KILL);
                tree::kill_group(self.group);
                Some(Ending { kill_at: now + Duration::from_secs(1), ..ending })
            }
            ending => ending,
        }
    }

    /// To the whole tree; to the group as well, whose members cannot slip away between two looks.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.command, signal);
        let others = tree::descendants().into_iter().filter(|p| {
            let group = i32::try_from(p.pid).ok().and_then(Pid::from_raw);
            rustix::process::getpgid(group).is_ok_and(|g| g != self.command)
        });
        for process in others {
            let _ = crate::system::signal_process(process, signal);
        }
    }

    fn wait(&mut self, pidfd: Option<&OwnedFd>, next: Option<Instant>) {
        let until = next.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        wait_for(self.signals, pidfd, self.pulse, self.notice, until);
    }

    fn conclude(&self, status: Option<WaitStatus>, ending: Option<Ending>) -> CommandEnd {
        CommandEnd {
            exit_code: status.and_then(WaitStatus::exit_status),
            signal: status.and_then(WaitStatus::terminating_signal),
            timed_out: ending.is_some_and(|e| e.timed_out),
            end_wanted: self.signals.end_wanted(),
        }
    }
}

/// Waits for a signal, a child's end or the next heartbeat, at most `longest`; beats if it is time.
pub(super) fn wait_for(
    signals: &Signals,
    pidfd: Option<&OwnedFd>,
    pulse: &mut Pulse<'_>,
    notice: &dyn Fn(&str),
    longest: Duration,
) {
    let timeout = longest.min(pulse.until_next());
    let timeout = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    let mut waited = vec![PollFd::new(signals, PollFlags::IN)];
    waited.extend(pidfd.map(|fd| PollFd::new(fd, PollFlags::IN)));
    // Interrupted by a signal is as good as woken by it.
    let _ = poll(&mut waited, Some(&timeout));
    signals.drain();
    if let Err(e) = pulse.beat_if_due() {
        notice(&format!("{e}: {}", e.source));
    }
}
