//! Keeps an attempt's output below its limit: the oldest part is dropped, and a note says how much.
//!
//! Only the process that empties the pipe writes to the file, and it checks the file's length each time. The
//! dropped part becomes a hole: its room goes back to the file system (`FALLOC_FL_PUNCH_HOLE`), while length and
//! offsets stay as they are, also for readers that follow the file. The apparent length goes on growing; the
//! stored part, which readers show, begins at a note before the first whole line that is kept. Half of the limit
//! is kept each time, so that each byte is handled about once.

use std::os::unix::fs::FileExt;

use crate::durable::{DiskError, DiskFile, IoContext};
use crate::jobs::output::beginning;
use crate::state::format_size;

/// How far after the cut the end of a line is searched for, in bytes.
const LINE_REACH: usize = 16 << 10;

/// Keeps the length of an output file below its limit.
#[derive(Debug)]
pub(super) struct OutputLimit {
    limit: u64,
    /// Where the kept part begins.
    start: u64,
    /// Whether the file system does not support holes.
    is_without_holes: bool,
}

impl OutputLimit {
    /// A limit for a file that may have content, from which another process may have dropped a part.
    pub(super) fn of(file: &DiskFile, limit: u64) -> OutputLimit {
        OutputLimit { limit, start: beginning(file.as_file()).unwrap_or(0), is_without_holes: false }
    }

    /// Drops the oldest part of a file of this length, if the file is too long.
    pub(super) fn check(&mut self, file: &DiskFile, len: u64) -> Result<(), DiskError> {
        // If the file was truncated, the dropped part does not count any more.
        self.start = if len < self.start { 0 } else { self.start };
        if self.is_without_holes || len - self.start <= self.limit {
            return Ok(());
        }
        let dropped = self.drop_before(file, len - self.limit / 2);
        self.is_without_holes = dropped.is_err();
        dropped
    }

    fn drop_before(&mut self, file: &DiskFile, wanted: u64) -> Result<(), DiskError> {
        let cut = line_behind(file, wanted)?;
        let limit = format_size(self.limit);
        let note =
            format!("[recoveryctl: the first {cut} bytes were dropped: jobs.output_limit is {limit}]\n");
        let start = cut.saturating_sub(note.len() as u64);
        // The note comes first: after a kill in between, nothing is lost that the note does not account for.
        file.write_at(note.as_bytes(), start)?;
        file.punch(start)?;
        self.start = start;
        Ok(())
    }
}

/// The first beginning of a line at or after the offset, or the offset itself if no line ends near it.
fn line_behind(file: &DiskFile, offset: u64) -> Result<u64, DiskError> {
    let mut bytes = vec![0; LINE_REACH];
    let got = file.as_file().read_at(&mut bytes, offset).context("read", file.path())?;
    let line = bytes[..got].iter().position(|&b| b == b'\n').map_or(0, |at| at + 1);
    Ok(offset + line as u64)
}
