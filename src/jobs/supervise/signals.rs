//! Signals as something to wait for: SIGTERM, SIGINT and SIGHUP ask for the job's end, SIGCHLD tells of
//! a child's end.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

/// The signals that ask for the end.
const ASKING: [Signal; 3] = [Signal::TERM, Signal::INT, Signal::HUP];

/// Caught signals of this process.
#[derive(Debug)]
pub(super) struct Signals {
    wake: UnixStream,
    end_wanted: Arc<AtomicBool>,
}

impl Signals {
    /// From here on these signals do not end this process.
    pub(super) fn catch() -> io::Result<Signals> {
        let (wake, write) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let end_wanted = Arc::new(AtomicBool::new(false));
        for signal in ASKING {
            signal_hook::flag::register(signal.as_raw(), end_wanted.clone())?;
        }
        for signal in ASKING.into_iter().chain([Signal::CHILD]) {
            signal_hook::low_level::pipe::register(signal.as_raw(), write.try_clone()?)?;
        }
        Ok(Signals { wake, end_wanted })
    }

    /// Whether somebody asked for the end.
    pub(super) fn end_wanted(&self) -> bool {
        self.end_wanted.load(Ordering::SeqCst)
    }

    /// Forgets what woke us.
    pub(super) fn drain(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.wake).read(&mut bytes), Ok(n) if n > 0) {}
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
