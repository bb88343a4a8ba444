//! Follows a job's output over its attempts, as `tail -F` follows a file.
//!
//! The file that is read stays open, because it may be moved to the files of earlier attempts. A file that became
//! shorter is read from its beginning. When another file takes the name, it is read after the end of the open
//! one. Output that a limit dropped before it was read is skipped.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use super::output::{Output, read_part};
use crate::durable::{DiskError, IoContext};
use crate::queue::{Job, JobStatus};
use crate::state::StateDir;

/// One attempt's output, and how far it has been read.
#[derive(Debug)]
pub(crate) struct Follower {
    attempt: u32,
    file: Option<File>,
    offset: u64,
}

impl Follower {
    /// Follows an attempt's output from its beginning.
    pub(crate) fn new(attempt: u32) -> Follower {
        Follower { attempt, file: None, offset: 0 }
    }

    /// Follows the present output from an offset.
    pub(crate) fn at(attempt: u32, offset: u64) -> Follower {
        Follower { offset, ..Follower::new(attempt) }
    }

    /// Which attempt is followed.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether the job prints nothing more in this attempt. Call this before the last read, so that everything
    /// printed before the end is read.
    pub(crate) fn is_over(&self, job: &Job) -> bool {
        job.status.is_over() || job.attempt > self.attempt
    }

    /// Goes on with the next attempt; false when there will be none.
    pub(crate) fn next_attempt(&mut self, job: &Job) -> bool {
        let is_next = job.attempt > self.attempt && (!job.status.is_over() || has_begun(job));
        if is_next {
            *self = Follower::new(self.attempt + 1);
        }
        is_next
    }

    /// New output, at most `most` bytes; empty when there is none.
    ///
    /// # Errors
    /// The system's error. A missing output is empty.
    pub(crate) fn read(&mut self, dir: &StateDir, job: &Job, most: u64) -> Result<Vec<u8>, DiskError> {
        let Ok(output) = Output::of(dir, job, Some(self.attempt)) else { return Ok(Vec::new()) };
        if self.file.is_none() {
            self.file = open(&output)?;
        }
        let part = self.read_open(&output, most)?;
        if !part.is_empty() || !self.is_replaced(&output) {
            return Ok(part);
        }
        // The open file was read to its end, and its name belongs to another file.
        (self.file, self.offset) = (open(&output)?, 0);
        self.read_open(&output, most)
    }

    fn read_open(&mut self, output: &Output, most: u64) -> Result<Vec<u8>, DiskError> {
        let Some(file) = &mut self.file else { return Ok(Vec::new()) };
        let len = file.metadata().context("look at", &output.path)?.len();
        if len < self.offset {
            self.offset = 0;
        }
        let (from, part) = read_part(file, output, self.offset, most).context("read", &output.path)?;
        self.offset = from + part.len() as u64;
        Ok(part)
    }

    fn is_replaced(&self, output: &Output) -> bool {
        let Some(Ok(open)) = self.file.as_ref().map(File::metadata) else { return false };
        output.path.symlink_metadata().is_ok_and(|m| (m.dev(), m.ino()) != (open.dev(), open.ino()))
    }
}

/// A job that was cancelled before its next attempt began prints nothing in it.
fn has_begun(job: &Job) -> bool {
    job.status == JobStatus::Running
        || job.run_state().attempts.last().is_some_and(|a| a.attempt == job.attempt)
}

fn open(output: &Output) -> Result<Option<File>, DiskError> {
    match output.open() {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;
    use crate::durable::Disk;
    use crate::jobs::samples;
    use crate::queue::Claim;
    use crate::state::Clock;

    struct Place {
        _folder: tempfile::TempDir,
        dir: StateDir,
        job: Job,
    }

    impl Place {
        fn new() -> Place {
            let folder = tempfile::tempdir().unwrap();
            let dir = StateDir::open_or_create(&folder.path().join("s"), Disk::real(), Clock::system());
            let (dir, job) = (dir.unwrap(), samples::job("a", Claim::of_record(7)));
            fs::create_dir_all(dir.paths.job("a").unwrap().attempts).unwrap();
            Place { _folder: folder, dir, job }
        }

        fn output(&self) -> std::path::PathBuf {
            self.dir.paths.job("a").unwrap().output()
        }

        fn print(&self, text: &str) {
            let file = fs::OpenOptions::new().append(true).create(true).open(self.output());
            file.unwrap().write_all(text.as_bytes()).unwrap();
        }

        fn read(&self, follower: &mut Follower) -> String {
            String::from_utf8(follower.read(&self.dir, &self.job, 1 << 20).unwrap()).unwrap()
        }
    }

    #[test]
    fn follow_truncated_moved_and_replaced() {
        let place = Place::new();
        let mut follower = Follower::new(1);
        assert_eq!(place.read(&mut follower), "", "nothing is there yet");
        place.print("one ");
        assert_eq!(place.read(&mut follower), "one ");
        place.print("two ");
        assert_eq!((place.read(&mut follower), place.read(&mut follower)), ("two ".into(), String::new()));
        fs::OpenOptions::new().write(true).open(place.output()).unwrap().set_len(0).unwrap();
        place.print("cut");
        assert_eq!(place.read(&mut follower), "cut");
        place.print(" last of the old ");
        fs::rename(place.output(), place.output().with_extension("1")).unwrap();
        place.print("first of the new");
        assert_eq!(place.read(&mut follower), " last of the old ");
        assert_eq!(place.read(&mut follower), "first of the new");
        // The file was removed, with nothing in its place: the rest of it is still read.
        place.print("!");
        fs::remove_file(place.output()).unwrap();
        assert_eq!(place.read(&mut follower), "!");
    }

    #[test]
    fn follow_skips_hole() {
        let place = Place::new();
        place.print(&"x".repeat(1 << 20));
        let file = fs::OpenOptions::new().write(true).open(place.output()).unwrap();
        use rustix::fs::{FallocateFlags, fallocate};
        let punched = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if fallocate(&file, punched, 0, 1 << 19).is_err() {
            return; // A file system without holes has no output limit either.
        }
        let mut follower = Follower::new(1);
        assert_eq!(place.read(&mut follower).len(), 1 << 19);
        place.print("more");
        assert_eq!(place.read(&mut follower), "more");
    }

    #[test]
    fn follow_next_attempt() {
        let mut place = Place::new();
        place.print("of the first");
        let mut follower = Follower::new(1);
        assert_eq!(place.read(&mut follower), "of the first");
        assert!(!follower.is_over(&place.job) && !follower.next_attempt(&place.job));
        let sentinel = crate::jobs::Sentinel::of_this_process(
            &place.job,
            Claim::of_record(7),
            Vec::new(),
            None,
            Default::default(),
        );
        let paths = place.dir.paths.job("a").unwrap();
        sentinel.write(&place.dir.disk, &paths.sentinel()).unwrap();
        place.job.attempt = 2;
        assert!(follower.is_over(&place.job) && follower.next_attempt(&place.job));
        assert_eq!(place.read(&mut follower), "", "what is there is still the first one's");
        fs::create_dir_all(paths.attempt(1)).unwrap();
        fs::rename(place.output(), paths.attempt(1).join("output.log")).unwrap();
        fs::rename(paths.sentinel(), paths.attempt(1).join("sentinel.json")).unwrap();
        place.print("of the second");
        assert_eq!(place.read(&mut follower), "of the second");
        assert_eq!(place.read(&mut Follower::new(1)), "of the first");
    }
}
