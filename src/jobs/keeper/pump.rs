//! Moves output from the pipe to the file; and the keeper, a process that does only that.
//!
//! A write that the file refuses (full, read-only) is tried again, while the command waits as it does for a slow
//! terminal. After [`PATIENCE`] output is discarded, because a job must not stand still for ever; a note says how
//! much was lost as soon as the file can be written again.

use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use nix::fcntl::{SpliceFFlags, splice};
use rustix::event::{PollFd, PollFlags, poll};

use super::limit::OutputLimit;
use crate::durable::{Disk, DiskError, DiskFile};

/// The most that is moved at a time, in bytes; a pipe holds no more.
const PART: usize = 1 << 20;
/// How long a command waits for a file that refuses its output.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// The result of one move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Something was moved, and there may be more.
    Moved,
    /// The pipe is empty.
    Empty,
    /// The pipe is empty, and has no writer any more.
    Over,
    /// The file refuses; try again after a pause.
    Refused,
}

/// Empties a pipe into a file.
#[derive(Debug)]
pub(super) struct Pump {
    /// Non-blocking.
    pipe: File,
    file: DiskFile,
    limit: OutputLimit,
    refused_since: Option<Instant>,
    /// How many bytes were discarded, and why.
    lost: Option<(u64, String)>,
}

impl Pump {
    pub(super) fn new(pipe: File, file: DiskFile, limit: u64) -> Pump {
        let limit = OutputLimit::of(&file, limit);
        Pump { pipe, file, limit, refused_since: None, lost: None }
    }

    pub(super) fn pipe(&self) -> &File {
        &self.pipe
    }

    pub(super) fn file(&self) -> &DiskFile {
        &self.file
    }

    /// Moves the content of the pipe, at most [`PART`]. Also returns the file's error, each time that the file
    /// refuses.
    pub(super) fn turn(&mut self) -> (Turn, Option<DiskError>) {
        match self.advance() {
            Ok(turn) => (turn, None),
            Err(e) => {
                let since = *self.refused_since.get_or_insert_with(Instant::now);
                let turn = if since.elapsed() < PATIENCE { Turn::Refused } else { self.throw_away(&e) };
                (turn, Some(e))
            }
        }
    }

    fn advance(&mut self) -> Result<Turn, DiskError> {
        self.tell_what_was_lost()?;
        let end = self.file.metadata()?.len();
        match splice_into(&self.pipe, &self.file, end) {
            Ok(0) => Ok(Turn::Over),
            Ok(moved) => {
                self.refused_since = None;
                // If the limit cannot be kept, output that is too long is better than none.
                let _ = self.limit.check(&self.file, end + moved as u64);
                Ok(Turn::Moved)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Turn::Empty),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(Turn::Moved),
            Err(source) => {
                let path = self.file.path().to_owned();
                Err(DiskError { action: "write the output to", path, source })
            }
        }
    }

    fn throw_away(&mut self, why: &DiskError) -> Turn {
        let mut bytes = vec![0; PART];
        match self.pipe.read(&mut bytes) {
            Ok(0) => Turn::Over,
            Ok(read) => {
                let (lost, _) = self.lost.take().unwrap_or_default();
                self.lost = Some((lost + read as u64, why.source.to_string()));
                Turn::Refused
            }
            Err(_) => Turn::Empty,
        }
    }

    fn tell_what_was_lost(&mut self) -> Result<(), DiskError> {
        let Some((bytes, why)) = &self.lost else { return Ok(()) };
        let note = format!("[recoveryctl: {bytes} bytes could not be kept: {why}]\n");
        self.file.write_at(note.as_bytes(), self.file.metadata()?.len())?;
        self.lost = None;
        Ok(())
    }
}

/// Moves bytes inside the kernel; where the file system cannot, by a read and a write of this process.
fn splice_into(pipe: &File, file: &DiskFile, end: u64) -> io::Result<usize> {
    let mut at = i64::try_from(end).map_err(io::Error::other)?;
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
    match splice(pipe, None, file.as_file(), Some(&mut at), PART, flags) {
        Ok(moved) => Ok(moved),
        Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOSYS) => copy_into(pipe, file, end),
        Err(e) => Err(e.into()),
    }
}

fn copy_into(mut pipe: &File, file: &DiskFile, end: u64) -> io::Result<usize> {
    let mut bytes = vec![0; 64 << 10];
    let read = pipe.read(&mut bytes)?;
    file.write_at(&bytes[..read], end).map_err(|e| e.source)?;
    Ok(read)
}

/// The keeper: empties `pipe` into `output` until the pipe has no writer any more. The caller ignores the
/// signals that would end it: it ends with the job. The passed open file holds the file's lock.
pub fn keep_output(disk: &Disk, pipe: File, output: File, limit: u64) -> Result<(), DiskError> {
    let mut pump = Pump::new(pipe, DiskFile::of(disk, output, "/proc/self/fd/1".into()), limit);
    // Fail at once if the output cannot be examined: the loop would take that for a refusal and try for ever.
    pump.file().metadata()?;
    loop {
        match pump.turn().0 {
            Turn::Moved => {}
            Turn::Over => return Ok(()),
            Turn::Refused => std::thread::sleep(PAUSE),
            Turn::Empty => wait_for(pump.pipe()),
        }
    }
}

/// Waits until the pipe has content, or no writer any more.
fn wait_for(pipe: &File) {
    // A signal that interrupts the wait ends it too.
    let _ = poll(&mut [PollFd::new(pipe, PollFlags::IN)], None);
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests read what was written.
mod tests {
    use std::io::Write;

    use super::*;

    fn pump(limit: u64) -> (tempfile::TempDir, File, Pump) {
        let folder = tempfile::tempdir().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let reader = File::from(std::os::fd::OwnedFd::from(reader));
        rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::NONBLOCK).unwrap();
        let file = Disk::real().open_or_create(&folder.path().join("output.log")).unwrap();
        (folder, File::from(std::os::fd::OwnedFd::from(writer)), Pump::new(reader, file, limit))
    }

    fn written(pump: &Pump) -> Vec<u8> {
        std::fs::read(pump.file().path()).unwrap()
    }

    #[test]
    fn pump_until_last_writer_closes() {
        let (_folder, mut writer, mut pump) = pump(1 << 20);
        assert_eq!(pump.turn().0, Turn::Empty);
        writer.write_all(b"one ").unwrap();
        assert_eq!(pump.turn().0, Turn::Moved);
        // The line of another program stays, and is not overwritten.
        pump.file().write_at(b"theirs ", 4).unwrap();
        writer.write_all(b"two").unwrap();
        drop(writer);
        assert_eq!((pump.turn().0, pump.turn().0), (Turn::Moved, Turn::Over));
        assert_eq!(written(&pump), b"one theirs two");
    }

    #[test]
    fn pump_after_truncation() {
        let (_folder, mut writer, mut pump) = pump(1 << 20);
        writer.write_all(b"before").unwrap();
        assert_eq!(pump.turn().0, Turn::Moved);
        pump.file().truncate(0).unwrap();
        writer.write_all(b"after").unwrap();
        assert_eq!(pump.turn().0, Turn::Moved);
        assert_eq!(written(&pump), b"after");
    }

    #[test]
    fn output_limit_holds_and_keeps_newest() {
        let (_folder, mut writer, mut pump) = pump(64 << 10);
        for round in 0..40 {
            writer.write_all(format!("{round:07}\n").repeat(1000).as_bytes()).unwrap();
            assert_eq!(pump.turn().0, Turn::Moved);
            use std::os::unix::fs::MetadataExt;
            let kept = pump.file().metadata().unwrap().blocks() * 512;
            assert!(kept <= (64 << 10) + 16_384, "{kept} bytes are kept");
        }
        assert!(written(&pump).ends_with(b"0000039\n"));
    }
}
