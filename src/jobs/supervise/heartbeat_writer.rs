//! The repeated work of a supervisor while its command runs: its sign of life (sentinel, heartbeat and lock),
//! kept even if the job removes these, and its part in the job's output.
//!
//! A job of the server's user may remove sentinel and lock file. A supervisor whose lock file has no name any
//! more would look dead; so each heartbeat restores them.

use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::tree;
use crate::durable::{Disk, DiskError, DiskFile, FileLock, Survives, is_held, is_not_regular};
use crate::jobs::keeper::OutputStream;
use crate::jobs::recover::put_away_what_is_no_lock;
use crate::jobs::sentinel::Sentinel;
use crate::queue::EndedBy;
use crate::state::{JobPaths, StateDir};
use crate::system::ProcessIdentity;

/// A supervisor's sign of life.
pub(super) struct HeartbeatWriter<'a> {
    dir: &'a StateDir,
    paths: &'a JobPaths,
    sentinel: Sentinel,
    survives: Survives,
    /// The sentinel, and its length when it was written.
    file: Option<(DiskFile, u64)>,
    /// The lock, and those that had to be published after it.
    locks: Vec<FileLock>,
    interval: Duration,
    last: Instant,
    output: Option<OutputStream>,
}

impl<'a> HeartbeatWriter<'a> {
    /// Takes the lock over; writes nothing before [`HeartbeatWriter::begin`]. The sentinel `survives` a kill, or
    /// more.
    pub(super) fn new(
        dir: &'a StateDir,
        paths: &'a JobPaths,
        sentinel: Sentinel,
        survives: Survives,
        lock: FileLock,
        interval: Duration,
    ) -> HeartbeatWriter<'a> {
        let (file, locks, last, output) = (None, vec![lock], Instant::now(), None);
        HeartbeatWriter { dir, paths, sentinel, survives, file, locks, interval, last, output }
    }

    /// Writes the sentinel.
    pub(super) fn begin(&mut self) -> Result<(), DiskError> {
        self.write()
    }

    /// The sentinel.
    pub(super) fn sentinel(&self) -> &Sentinel {
        &self.sentinel
    }

    /// Adds the command to the sentinel. If it were missing there, only one piece of evidence would be lost: the
    /// command's process has recorded itself.
    pub(super) fn command_started(&mut self, command: Option<ProcessIdentity>) -> Result<(), DiskError> {
        self.sentinel.command = command;
        self.write()
    }

    /// Adds what interrupts the attempt, so that it is known even if the supervisor is killed, or the power of a
    /// machine that shuts down is off, before it has recorded the end.
    pub(super) fn interrupted(&mut self, by: EndedBy) -> Result<(), DiskError> {
        self.sentinel.interrupted = Some(by);
        self.survives = Survives::PowerLoss;
        self.write()
    }

    /// Adds the processes that cannot be ended, so that they are found even when this supervisor is gone.
    pub(super) fn withstanding(&mut self, processes: &[ProcessIdentity]) -> Result<(), DiskError> {
        self.sentinel.cannot_end = processes.to_vec();
        self.write()
    }

    /// From here on this process handles the command's output.
    pub(super) fn keep_output(&mut self, output: OutputStream) {
        self.output = Some(output);
    }

    /// The descriptor to poll, in addition to signals and times.
    pub(super) fn waited(&self) -> Option<BorrowedFd<'_>> {
        self.output.as_ref()?.waited()
    }

    /// Moves the rest of the pipe into the file, once it has no writer; see [`OutputStream::finish`].
    pub(super) fn finish_output(&mut self) -> Result<(), DiskError> {
        self.output.as_mut().map_or(Ok(()), OutputStream::finish)
    }

    /// Gives the output its name back, if the job has removed it; see [`OutputStream::put_back`].
    pub(super) fn put_back_output(&self, disk: &Disk, path: &Path) -> Result<bool, DiskError> {
        self.output.as_ref().map_or(Ok(false), |output| output.put_back(disk, path))
    }

    fn write(&mut self) -> Result<(), DiskError> {
        self.sentinel.write_to(&self.dir.disk, &self.paths.sentinel(), self.survives)?;
        let file = self.dir.disk.open(&self.paths.sentinel())?;
        let len = file.metadata()?.len();
        self.file = Some((file, len));
        self.last = Instant::now();
        Ok(())
    }

    /// The time until something is due.
    pub(super) fn until_next(&self) -> Duration {
        let output = self.output.as_ref().map_or(Duration::MAX, OutputStream::until_next);
        self.until_beat().min(output)
    }

    fn until_beat(&self) -> Duration {
        self.interval.saturating_sub(self.last.elapsed())
    }

    /// Renews the heartbeat if that is due, and moves output.
    pub(super) fn beat_if_due(&mut self) -> Result<(), DiskError> {
        let beaten = if self.until_beat().is_zero() { self.beat() } else { Ok(()) };
        let moved = self.attend_to_output();
        beaten.and(moved)
    }

    fn attend_to_output(&mut self) -> Result<(), DiskError> {
        let Some(output) = &mut self.output else { return Ok(()) };
        let moved = output.attend();
        tree::set_apart(output.keeper());
        moved
    }

    fn beat(&mut self) -> Result<(), DiskError> {
        self.last = Instant::now();
        let followed = self.dir.followed();
        if !followed.as_ref().unwrap_or(self.dir).is_still_itself() {
            // A backup was restored: the file there is not this attempt's.
            return Ok(());
        }
        self.keep_lock()?;
        match &self.file {
            // If the directory was moved, the open file moved with it, and its old name belongs to another file.
            Some((file, len)) if is_whole(file, *len) || followed.is_some() => file.touch(),
            _ => self.write(),
        }
    }

    fn keep_lock(&mut self) -> Result<(), DiskError> {
        let followed = self.dir.followed();
        let moved = followed.as_ref().and_then(|dir| dir.paths.job(&self.sentinel.job_id.to_string()).ok());
        let (dir, paths) = match (&followed, &moved) {
            (Some(dir), Some(paths)) => (dir, paths),
            _ => (self.dir, self.paths),
        };
        let path = paths.sentinel_lock();
        match is_held(&path) {
            Ok(true) => Ok(()),
            Err(e) if is_not_regular(&e.source) => {
                put_away_what_is_no_lock(dir, paths)?;
                self.locks.extend(FileLock::publish(&dir.disk, &path)?);
                Ok(())
            }
            Err(e) if !e.is_not_found() => Err(e),
            _ => {
                dir.ensure_attempts_for_this_boot(paths)?;
                self.locks.extend(FileLock::publish(&dir.disk, &path)?);
                Ok(())
            }
        }
    }
}

/// Whether the file still has its name and its length.
fn is_whole(file: &DiskFile, len: u64) -> bool {
    match (file.metadata(), std::fs::metadata(file.path())) {
        (Ok(ours), Ok(named)) => ours.dev() == named.dev() && ours.ino() == named.ino() && named.len() == len,
        _ => false,
    }
}
