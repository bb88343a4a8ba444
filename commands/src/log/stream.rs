//! Standard error, which may have a reader that does not read.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};

/// A stream of lines that never makes its writer wait: a line that nobody takes is left out and counted.
#[derive(Debug)]
pub(super) struct Stream {
    may_block: bool,
    lost: AtomicU64,
}

impl Stream {
    pub(super) fn stderr() -> Stream {
        let kind = fstat(io::stderr()).map(|stat| FileType::from_raw_mode(stat.st_mode));
        Stream { may_block: kind != Ok(FileType::RegularFile), lost: AtomicU64::new(0) }
    }

    /// Writes a line with one call: others write there too.
    pub(super) fn line(&self, line: &str) {
        if self.may_block && !has_room() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        // Nobody is left to be told when stderr is gone.
        let _ = io::stderr().write_all(&bytes);
    }

    /// How many lines were left out since the last call.
    pub(super) fn take_lost(&self) -> u64 {
        if self.lost.load(Ordering::Relaxed) == 0 || !has_room() {
            0
        } else {
            self.lost.swap(0, Ordering::Relaxed)
        }
    }
}

/// Of a pipe that says so, at least a page can be written without waiting: more than most lines have.
fn has_room() -> bool {
    let stderr = io::stderr();
    let mut waited = [PollFd::new(&stderr, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut waited, Some(&at_once)).is_ok_and(|ready| ready > 0)
}
