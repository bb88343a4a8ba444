//! Keeps an attempt's output below its limit: the oldest part goes, a note says how much.
//!
//! The command writes to the file itself, not through a pipe of its supervisor: a pipe dies with the one
//! who reads it, and with it the job (conmon, killed, loses all later output of its container; a file
//! loses nothing). So nothing can be held back at the time of writing. RLIMIT_FSIZE would end the job, and
//! count for every other file that it writes; cutting the file and copying its rest loses what is written
//! in between.
//!
//! What loses nothing is a hole: the supervisor gives the room of the oldest part back to the file system
//! (`FALLOC_FL_PUNCH_HOLE`), while length, offsets and the command's descriptor stay as they are. The
//! file's apparent length goes on growing; what is stored, and what readers show, begins at a note in front
//! of the first whole line that is kept. Half of the limit is kept each time, so that each byte costs one
//! look. A look costs a system call; it comes every two seconds, and every quarter of a second when the
//! output grows fast. A job that writes gigabytes a second can exceed the limit for so long.

use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::durable::{DiskError, DiskFile, Tried};
use crate::state::format_size;

const SLOW: Duration = Duration::from_secs(2);
const FAST: Duration = Duration::from_millis(250);
/// How far behind the cut the end of a line is looked for, bytes.
const LINE_REACH: usize = 16 << 10;

/// Watches over the length of an output file.
#[derive(Debug)]
pub(super) struct OutputLimit {
    file: DiskFile,
    limit: u64,
    /// Where what is kept begins.
    start: u64,
    last_len: u64,
    next: Instant,
}

impl OutputLimit {
    pub(super) fn new(file: DiskFile, limit: u64) -> OutputLimit {
        OutputLimit { file, limit, start: 0, last_len: 0, next: Instant::now() + FAST }
    }

    /// How long until the next look is due.
    pub(super) fn until_next(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Looks if it is time.
    pub(super) fn check_if_due(&mut self) -> Result<(), DiskError> {
        if self.until_next().is_zero() { self.check() } else { Ok(()) }
    }

    /// Looks, and drops the oldest part of an output that is too long.
    pub(super) fn check(&mut self) -> Result<(), DiskError> {
        // A file system without holes is asked again, but not at once.
        self.next = Instant::now() + SLOW;
        let len = self.file.metadata()?.len();
        if len.saturating_sub(self.start) > self.limit {
            self.drop_before(len - self.limit / 2)?;
        }
        let (grown, left) =
            (len.saturating_sub(self.last_len), (self.start + self.limit).saturating_sub(len));
        self.last_len = len;
        if grown > self.limit / 8 || left < self.limit / 4 {
            self.next = Instant::now() + FAST;
        }
        Ok(())
    }

    fn drop_before(&mut self, wanted: u64) -> Result<(), DiskError> {
        let cut = self.line_behind(wanted)?;
        let limit = format_size(self.limit);
        let note =
            format!("[recoveryctl: the first {cut} bytes were dropped: jobs.output_limit is {limit}]\n");
        let start = cut.saturating_sub(note.len() as u64);
        // The note first: killed in between, nothing is lost that is not accounted for.
        self.file.write_at(note.as_bytes(), start)?;
        self.file.punch(start)?;
        self.start = start;
        Ok(())
    }

    /// The first beginning of a line from here on, if there is one near.
    fn line_behind(&self, offset: u64) -> Result<u64, DiskError> {
        let mut bytes = vec![0; LINE_REACH];
        let got = self.file.as_file().read_at(&mut bytes, offset).tried("read", self.file.path())?;
        let line = bytes[..got].iter().position(|&b| b == b'\n').map_or(0, |at| at + 1);
        Ok(offset + line as u64)
    }
}
