//! Signals as something to wait for: SIGTERM, SIGINT and SIGHUP end the job, SIGCHLD reports a child's end.
//!
//! They are blocked and read from a descriptor (signalfd(2)), which names the sender and works with any inherited
//! mask and dispositions. The command's process inherits the mask, and empties it before exec.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::queue::EndedBy;
use crate::state::Timestamp;

/// The signals that ask for the job's end.
const ASKING: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// A signal that asks for the job's end, and its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    signal: i32,
    /// 0 when the sender is the kernel, or in another PID namespace.
    pid: u32,
    uid: u32,
}

/// Caught signals of this process.
#[derive(Debug)]
pub(super) struct Signals {
    fd: SignalFd,
    asked: Cell<Option<Asked>>,
}

impl Signals {
    /// From here on these signals do not end this process. Call it before there is a second thread.
    pub(super) fn catch() -> io::Result<Signals> {
        let mut mask = SigSet::empty();
        ASKING.into_iter().chain([Signal::SIGCHLD]).for_each(|signal| mask.add(signal));
        mask.thread_block()?;
        let fd = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Signals { fd, asked: Cell::new(None) })
    }

    /// The first signal that asked for the end, including one that came since the last [`Signals::drain`].
    pub(super) fn asked(&self) -> Option<Asked> {
        self.drain();
        self.asked.get()
    }

    /// Takes the pending signals.
    pub(super) fn drain(&self) {
        while let Ok(Some(info)) = self.fd.read_signal() {
            let signal = i32::try_from(info.ssi_signo).unwrap_or_default();
            if ASKING.iter().any(|asking| *asking as i32 == signal) && self.asked.get().is_none() {
                self.asked.set(Some(Asked { signal, pid: info.ssi_pid, uid: info.ssi_uid }));
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Asked {
    /// The form that is recorded. Call this soon: once the sender is gone, its name cannot be found.
    pub(super) fn ended_by(self, at: Timestamp) -> EndedBy {
        let name = Signal::try_from(self.signal).map_or("a signal", Signal::as_str);
        let sender = match self.pid {
            0 => "a process that cannot be seen from here".to_owned(),
            pid => match crate::durable::plain::read_text(format!("/proc/{pid}/comm")) {
                Ok(program) => format!("process {pid} ({})", program.trim_end()),
                Err(_) => format!("process {pid}"),
            },
        };
        EndedBy {
            at,
            by: format!("uid:{} {name} from {sender}", self.uid),
            signal: Some(self.signal),
            pid: (self.pid != 0).then_some(self.pid),
            uid: Some(self.uid),
        }
    }
}

/// Unblocks all signals of this process, so that the command does not inherit its supervisor's mask.
pub(super) fn unblock_all() {
    // The only failure is a bad argument.
    let _ = SigSet::empty().thread_set_mask();
}
