//! The output of a job: of the present attempt, of an earlier one, or the file of a job that was adopted from
//! another server.
//!
//! Output is any bytes, of any length. Readers here take a tail and never the whole file unless told to, and
//! decode with replacement characters.
//!
//! Output is a regular file that only the server's user could make. The output of an adopted job is a file in the
//! other server's workspace, whose path no other user may have led elsewhere (`durable::open_theirs`). Anything
//! else in its place is an error that says so.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::sentinel::Sentinel;
use crate::durable::{DiskError, IoContext, open_regular, open_theirs};
use crate::queue::Job;
use crate::state::StateDir;
use crate::state::names::BadName;

/// How far before the end of the file an exit line is searched for, in bytes.
const EXIT_LINE_REACH: u64 = 256;
/// The largest block of a common file system, in bytes.
const BLOCK: u64 = 64 << 10;

/// A job's output file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The path of the file. The file need not exist: a job that has not started printed nothing.
    pub path: PathBuf,
    /// Whether another server wrote it, with a last line `Exit code: N` that the job did not print.
    pub has_exit_line: bool,
}

impl Output {
    /// The output of the present attempt, or of an earlier one.
    pub fn of(dir: &StateDir, job: &Job, attempt: Option<u32>) -> Result<Output, BadName> {
        let paths = dir.paths.job(&job.id.to_string())?;
        let run = job.run_state();
        let foreign = run.output.as_ref().or_else(|| run.adopted.as_ref().map(|a| &a.output));
        let attempt = attempt.unwrap_or(job.attempt);
        // The first attempt of an adopted job ran under another server.
        let is_there = |path: &Path| path.symlink_metadata().is_ok();
        if let Some(path) = foreign.filter(|_| attempt == 1 || !is_there(&paths.output())) {
            return Ok(Output { path: path.clone(), has_exit_line: true });
        }
        let moved = paths.attempt(attempt).join("output.log");
        // An earlier attempt's output is moved away only when the next one starts.
        let latest = Sentinel::read(&paths.sentinel()).ok().and_then(|s| Some(s.whole()?.attempt));
        let is_of_another = latest.map_or(attempt < job.attempt, |latest| latest != attempt);
        let is_moved = is_there(&moved) || is_of_another;
        let path = if is_moved { moved } else { paths.output() };
        Ok(Output { path, has_exit_line: false })
    }

    /// Opens it for reading.
    ///
    /// # Errors
    /// `NotFound` when nothing was printed; `NotRegular` or `NotSole` as the source of the system's error; or
    /// another error of the system.
    pub(super) fn open(&self) -> Result<File, DiskError> {
        let file = if self.has_exit_line { open_theirs(&self.path) } else { open_regular(&self.path) };
        file.context("open", &self.path)
    }

    /// Where the job's own output ends in the file: before the exit line, if there is one.
    ///
    /// # Errors
    /// `NotFound` when nothing was printed; the system's error; or that something else has the output's name.
    pub(crate) fn len(&self) -> Result<u64, DiskError> {
        let file = self.open()?;
        let len = file.metadata().context("look at", &self.path)?.len();
        if !self.has_exit_line {
            return Ok(len);
        }
        let cut = find_exit_line(&file, len).context("read", &self.path)?;
        Ok(cut.map_or(len, |(at, _)| at))
    }

    /// The offset of the first kept byte at or after this one; an output limit has dropped the bytes before.
    pub(crate) fn kept_from(&self, offset: u64) -> Result<u64, DiskError> {
        let file = self.open()?;
        Ok(offset.max(beginning(&file).context("read", &self.path)?))
    }

    /// The bytes from an offset to the end, at most `most` of them.
    ///
    /// # Errors
    /// `NotFound` when nothing was printed, or the system's error.
    pub(crate) fn read_from(&self, offset: u64, most: u64) -> Result<Vec<u8>, DiskError> {
        let mut file = self.open()?;
        Ok(read_part(&mut file, self, offset, most).context("read", &self.path)?.1)
    }

    /// The last `most` bytes as text; empty when nothing was printed.
    pub fn tail(&self, most: u64) -> Result<String, DiskError> {
        let len = match self.len() {
            Err(e) if e.is_not_found() => return Ok(String::new()),
            other => other?,
        };
        let from = self.kept_from(len.saturating_sub(most))?;
        let bytes = self.read_from(from, most)?;
        Ok(String::from_utf8_lossy(whole_characters(&bytes, from > 0)).into_owned())
    }
}

/// At most so many bytes from an offset on, and the offset at which they really begin: a later one when an output
/// limit has dropped the wanted part.
pub(super) fn read_part(
    file: &mut File,
    output: &Output,
    offset: u64,
    most: u64,
) -> io::Result<(u64, Vec<u8>)> {
    let mut len = file.metadata()?.len();
    if output.has_exit_line {
        len = find_exit_line(file, len)?.map_or(len, |(at, _)| at);
    }
    let offset = offset.max(beginning(file)?);
    Ok((offset, read_at(file, offset, len.saturating_sub(offset).min(most))?))
}

/// Where the kept part of an output begins: after the hole that an output limit has made at its beginning.
pub(super) fn beginning(file: &File) -> io::Result<u64> {
    use rustix::fs::{SeekFrom, seek};
    let is_holed = seek(file, SeekFrom::Hole(0)).is_ok_and(|at| at == 0);
    // A file that consists of a hole has no data to seek to.
    let Some(data) = is_holed.then(|| seek(file, SeekFrom::Data(0)).ok()).flatten() else { return Ok(0) };
    // A hole ends at the border of a block; the dropped part ends somewhere in the next block.
    let block = read_at(&mut &*file, data, BLOCK)?;
    let zeros = block.iter().take_while(|&&b| b == 0).count();
    Ok(data + zeros as u64)
}

/// The exit code in the last line, `Exit code: N`; `None` when the last line is another.
///
/// # Errors
/// `NotFound` when there is no file, or the system's error.
pub(super) fn exit_line(path: &Path) -> Result<Option<i32>, DiskError> {
    let file = open_theirs(path).context("open", path)?;
    let len = file.metadata().context("look at", path)?.len();
    Ok(find_exit_line(&file, len).context("read", path)?.map(|(_, code)| code))
}

/// The offset of the exit line, and its code.
fn find_exit_line(mut file: &File, len: u64) -> io::Result<Option<(u64, i32)>> {
    let from = len.saturating_sub(EXIT_LINE_REACH);
    let bytes = read_at(&mut file, from, len - from)?;
    let text = bytes.trim_ascii_end();
    let start = text.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    if start == 0 && from > 0 {
        return Ok(None); // The line is longer than any exit line.
    }
    let line = std::str::from_utf8(&text[start..]).ok();
    let code = line.and_then(|l| l.trim().strip_prefix("Exit code:")?.trim().parse().ok());
    Ok(code.map(|code| (from + start as u64, code)))
}

fn read_at(file: &mut (impl Read + Seek), offset: u64, len: u64) -> io::Result<Vec<u8>> {
    // The length of a sparse file says little about its content.
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0).min(1 << 20));
    file.seek(SeekFrom::Start(offset))?;
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text without the remainder of a character that was cut at its beginning.
fn whole_characters(bytes: &[u8], is_cut: bool) -> &[u8] {
    let rest = bytes.iter().take(3).take_while(|b| (0x80..0xC0).contains(*b)).count();
    if is_cut { &bytes[rest..] } else { bytes }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn written(text: &[u8]) -> (tempfile::TempDir, Output) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        std::fs::write(&path, text).unwrap();
        (folder, Output { path, has_exit_line: true })
    }

    #[test]
    fn exit_line_is_parsed_and_excluded() {
        let cases: [(&str, Option<i32>, &str); 7] = [
            ("done\nExit code: 0\n", Some(0), "done\n"),
            ("done\r\nExit code: 137\r\n", Some(137), "done\r\n"),
            ("Exit code: -1", Some(-1), ""),
            ("Exit code: 3\nmore\n", None, "Exit code: 3\nmore\n"),
            ("I saw Exit code: 3\n", None, "I saw Exit code: 3\n"),
            ("Exit code: many\n", None, "Exit code: many\n"),
            ("", None, ""),
        ];
        for (text, code, own) in cases {
            let (_folder, output) = written(text.as_bytes());
            assert_eq!(exit_line(&output.path).unwrap(), code, "{text:?}");
            assert_eq!(output.tail(100).unwrap(), own, "{text:?}");
        }
        let long = format!("{}Exit code: 5\n", "x".repeat(400));
        let (_folder, output) = written(long.as_bytes());
        assert_eq!(exit_line(&output.path).unwrap(), None);
    }

    #[test]
    fn tail_starts_at_character_boundary() {
        let (_folder, output) = written("aé€x".as_bytes());
        assert_eq!(output.tail(3).unwrap(), "x");
        assert_eq!(output.tail(4).unwrap(), "€x");
        assert_eq!(output.tail(100).unwrap(), "aé€x");
        let (_folder, output) = written(b"a\xFFb");
        assert_eq!(output.tail(100).unwrap(), "a\u{FFFD}b");
        let none = Output { path: output.path.with_file_name("none"), has_exit_line: false };
        assert_eq!(none.tail(10).unwrap(), "");
    }
}
