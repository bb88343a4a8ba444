//! The sign of life: the sentinel, its heartbeat, and the lock, kept although the job may remove them.
//!
//! A job's workspace is its own: `rm -rf *` in it takes away sentinel and lock file. A supervisor whose
//! lock file has no name any more would look dead; so each beat sees to it that they are there.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use crate::durable::{DiskError, DiskFile, FileLock, is_held};
use crate::jobs::sentinel::Sentinel;
use crate::state::{JobPaths, StateDir};
use crate::system::ProcessIdentity;

/// A supervisor's sign of life.
pub(super) struct Pulse<'a> {
    dir: &'a StateDir,
    paths: &'a JobPaths,
    sentinel: Sentinel,
    /// The sentinel, and how long it was when it was written.
    file: Option<(DiskFile, u64)>,
    /// The lock, and those that had to be published after it.
    locks: Vec<FileLock>,
    interval: Duration,
    last: Instant,
}

impl<'a> Pulse<'a> {
    /// Writes the sentinel durably.
    pub(super) fn start(
        dir: &'a StateDir,
        paths: &'a JobPaths,
        sentinel: Sentinel,
        lock: FileLock,
        interval: Duration,
    ) -> Result<Pulse<'a>, DiskError> {
        let mut pulse =
            Pulse { dir, paths, sentinel, file: None, locks: vec![lock], interval, last: Instant::now() };
        pulse.write()?;
        Ok(pulse)
    }

    /// What the sentinel says.
    pub(super) fn sentinel(&self) -> &Sentinel {
        &self.sentinel
    }

    /// Adds the command to the sentinel. That it is missing there would cost nothing but a piece of
    /// evidence: the command's process has recorded itself.
    pub(super) fn command_started(&mut self, command: Option<ProcessIdentity>) -> Result<(), DiskError> {
        self.sentinel.command = command;
        self.write()
    }

    fn write(&mut self) -> Result<(), DiskError> {
        self.sentinel.write(&self.dir.disk, &self.paths.sentinel())?;
        let file = self.dir.disk.open(&self.paths.sentinel())?;
        let len = file.metadata()?.len();
        self.file = Some((file, len));
        self.last = Instant::now();
        Ok(())
    }

    /// How long until the next beat is due.
    pub(super) fn until_next(&self) -> Duration {
        self.interval.saturating_sub(self.last.elapsed())
    }

    /// Beats if it is time.
    pub(super) fn beat_if_due(&mut self) -> Result<(), DiskError> {
        if self.until_next().is_zero() { self.beat() } else { Ok(()) }
    }

    fn beat(&mut self) -> Result<(), DiskError> {
        self.last = Instant::now();
        self.keep_lock()?;
        match &self.file {
            Some((file, len)) if is_whole(file, *len) => file.touch(),
            _ => self.write(),
        }
    }

    fn keep_lock(&mut self) -> Result<(), DiskError> {
        let path = self.paths.sentinel_lock();
        match is_held(&path) {
            Ok(true) => Ok(()),
            Err(e) if !e.is_not_found() => Err(e),
            _ => {
                self.dir.disk.ensure_dir(&self.paths.workspace)?;
                self.locks.extend(FileLock::publish(&self.dir.disk, &path)?);
                Ok(())
            }
        }
    }
}

/// Whether the file has still its name and its length.
fn is_whole(file: &DiskFile, len: u64) -> bool {
    match (file.metadata(), std::fs::metadata(file.path())) {
        (Ok(ours), Ok(named)) => ours.dev() == named.dev() && ours.ino() == named.ino() && named.len() == len,
        _ => false,
    }
}
