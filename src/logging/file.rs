//! The log files.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::durable::{Disk, DiskError, IoContext};

/// The longest that a file gets, in bytes, plus one line: some 25,000 lines.
const MOST_BYTES: u64 = 8 << 20;

/// The earlier generation of a log.
pub(super) fn earlier(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// Opens a log for appending; one that has [`MOST_BYTES`] becomes the earlier generation.
pub(crate) fn open_bounded(disk: &Disk, path: &Path) -> Result<File, DiskError> {
    open_within(disk, path, MOST_BYTES)
}

fn open_within(disk: &Disk, path: &Path, most: u64) -> Result<File, DiskError> {
    let mut is_renamed = false;
    loop {
        let file = disk.open_append(path)?;
        if is_renamed || file.metadata().context("look at", path)?.len() < most {
            return Ok(file);
        }
        disk.rename(path, &earlier(path), true)?;
        is_renamed = true;
    }
}

/// A log that this process writes, beside other processes that write it. Lines that cannot be written are lost.
#[derive(Debug)]
pub struct LogFile {
    disk: Disk,
    path: PathBuf,
    most: u64,
    open: Mutex<Option<File>>,
}

impl LogFile {
    /// The file is opened with the first line.
    pub fn new(disk: Disk, path: PathBuf) -> LogFile {
        LogFile { disk, path, most: MOST_BYTES, open: Mutex::default() }
    }

    /// Appends a line.
    ///
    /// # Errors
    /// The line is lost then; the next one is tried again.
    pub fn append(&self, line: &str) -> Result<(), DiskError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = open.take().filter(|file| self.is_to_be_kept(file));
        let mut file = match kept {
            Some(file) => file,
            None => self.opened()?,
        };
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        file.write_all(&bytes).context("write to", &self.path)?;
        *open = Some(file);
        Ok(())
    }

    /// Whether the open file is still to be written: not if it was removed or has grown too long.
    fn is_to_be_kept(&self, file: &File) -> bool {
        file.metadata().is_ok_and(|m| m.nlink() > 0 && m.len() < self.most)
    }

    fn opened(&self) -> Result<File, DiskError> {
        let mut file = open_within(&self.disk, &self.path, self.most)?;
        if ends_in_a_line(&self.path).is_ok_and(|ends| !ends) {
            // The previous writer, or the machine, was killed: its unfinished last line must not spoil this one.
            file.write_all(b"\n").context("write to", &self.path)?;
        }
        Ok(file)
    }
}

fn ends_in_a_line(path: &Path) -> io::Result<bool> {
    let mut file = crate::durable::plain::open(path)?;
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // Tests look at, and damage, what is there.

    use super::*;

    fn log(folder: &Path, most: u64) -> LogFile {
        LogFile { most, ..LogFile::new(Disk::real(), folder.join("a.log")) }
    }

    #[test]
    fn log_keeps_two_generations_within_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (log(folder.path(), 64), log(folder.path(), 64));
        for n in 0..100 {
            let by = if n % 3 == 0 { &other } else { &one };
            by.append(&format!("line {n:02} of this log")).unwrap();
        }
        let path = folder.path().join("a.log");
        let [now, before] = [&path, &earlier(&path)].map(|p| std::fs::read_to_string(p).unwrap());
        assert!(now.len() <= 64 + 20 && before.len() <= 64 + 20, "{now}{before}");
        let lines: Vec<_> = before.lines().chain(now.lines()).collect();
        assert!(lines.len() >= 4 && lines.last() == Some(&"line 99 of this log"), "{lines:?}");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn log_goes_on_behind_a_torn_line_and_after_a_removal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, "torn").unwrap();
        let log = log(folder.path(), 1 << 10);
        log.append("one").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "torn\none\n");
        std::fs::remove_file(&path).unwrap();
        log.append("two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    }
}
