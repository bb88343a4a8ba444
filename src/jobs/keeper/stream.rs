//! A supervisor's part in its job's output: it empties the pipe itself until there is a keeper, and whenever
//! there is none.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::pump::{Pump, Turn};
use super::put_back::put_back;
use crate::durable::{Backoff, Disk, DiskError, DiskFile};
use crate::logging::Repeats;
use crate::queue::JobId;
use tracing::debug;

/// A job that ends sooner gets no keeper.
const KEEPER_AFTER: Duration = Duration::from_millis(200);
/// The pause after a keeper that was killed or could not be started; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How many parts are moved before the supervisor does its other duties.
const TURNS: usize = 16;
/// The pause before a file that refuses is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The output of a running job.
#[derive(Debug)]
pub(in crate::jobs) struct OutputStream {
    pump: Pump,
    keeper: Option<Child>,
    /// The command line of a keeper; empty when none is wanted.
    program: Vec<OsString>,
    job: JobId,
    keeper_at: Instant,
    backoff: Backoff,
    /// When to try again, after the file refused output.
    retry_at: Option<Instant>,
    /// The pipe has no writer any more.
    is_over: bool,
    trouble: Repeats,
}

impl OutputStream {
    /// A stream from this pipe into this file. `program` and its first arguments start a keeper for the job.
    pub(in crate::jobs) fn new(
        pipe: File,
        file: DiskFile,
        limit: u64,
        program: Vec<OsString>,
        job: JobId,
    ) -> OutputStream {
        OutputStream {
            pump: Pump::new(pipe, file, limit),
            keeper: None,
            program,
            job,
            keeper_at: Instant::now() + KEEPER_AFTER,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            retry_at: None,
            is_over: false,
            trouble: Repeats::new("no keeper of the job's output can be started"),
        }
    }

    /// The PID of the keeper, which is a child of this process and no part of the job.
    pub(in crate::jobs) fn keeper(&self) -> Option<u32> {
        self.keeper.as_ref().map(Child::id)
    }

    /// The descriptor to poll while no keeper empties the pipe.
    pub(in crate::jobs) fn waited(&self) -> Option<BorrowedFd<'_>> {
        let is_ours = self.keeper.is_none() && self.retry_at.is_none() && !self.is_over;
        is_ours.then(|| self.pump.pipe().as_fd())
    }

    /// The time until something is due.
    pub(in crate::jobs) fn until_next(&self) -> Duration {
        let due = self.keeper_at.saturating_duration_since(Instant::now());
        let keeper = if self.wants_keeper() { due } else { Duration::MAX };
        let retry = self.retry_at.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        keeper.min(retry)
    }

    /// Does what is due.
    ///
    /// # Errors
    /// The file's error when it refused; the write is tried again.
    pub(in crate::jobs) fn attend(&mut self) -> Result<(), DiskError> {
        if let Some(keeper) = &mut self.keeper {
            if !has_ended(keeper) {
                return Ok(());
            }
            self.keeper = None;
            self.put_off_keeper();
        }
        let moved = self.empty(TURNS);
        if self.wants_keeper() && Instant::now() >= self.keeper_at {
            self.start_keeper();
        }
        moved
    }

    /// Moves the rest of the pipe, once it has no writer any more; there is no keeper afterwards.
    ///
    /// # Errors
    /// The file's error when it refused: call again after a pause. The file does not refuse for ever (see
    /// `pump`).
    pub(in crate::jobs) fn finish(&mut self) -> Result<(), DiskError> {
        if let Some(mut keeper) = self.keeper.take() {
            // The keeper holds no bytes (see `pump`), and may have ended. It is not reaped, because its resource
            // use is not the job's.
            let _ = keeper.kill();
            await_end(&keeper);
        }
        self.program.clear();
        self.empty(usize::MAX)
    }

    /// Writes the output anew under its name, when the job has removed or replaced it; true when it had.
    /// After [`OutputStream::finish`].
    ///
    /// # Errors
    /// The system's error; it can be called again.
    pub(in crate::jobs) fn put_back(&self, disk: &Disk, path: &Path) -> Result<bool, DiskError> {
        put_back(disk, self.pump.file(), path)
    }

    fn wants_keeper(&self) -> bool {
        self.keeper.is_none() && !self.is_over && !self.program.is_empty()
    }

    fn empty(&mut self, turns: usize) -> Result<(), DiskError> {
        self.retry_at = None;
        for _ in 0..turns {
            match self.pump.turn() {
                (Turn::Moved, _) => {}
                (Turn::Empty, _) => return Ok(()),
                (Turn::Over, _) => {
                    self.is_over = true;
                    return Ok(());
                }
                (Turn::Refused, why) => {
                    self.retry_at = Some(Instant::now() + RETRY);
                    return why.map_or(Ok(()), Err);
                }
            }
        }
        Ok(())
    }

    fn start_keeper(&mut self) {
        match start(&self.program, &self.job, self.pump.pipe(), self.pump.file()) {
            Ok(keeper) => {
                self.trouble.worked();
                debug!(pid = keeper.id(), "a keeper empties the pipe of the job's output");
                self.keeper = Some(keeper);
            }
            Err(e) => {
                // Until the next start the supervisor empties the pipe itself.
                self.trouble.failed(&e);
                self.put_off_keeper();
            }
        }
    }

    fn put_off_keeper(&mut self) {
        self.keeper_at = Instant::now() + self.backoff.pause();
    }
}

/// Starts a keeper for this pipe and this file; it shares the file's lock.
pub(super) fn start(
    program: &[OsString],
    job: &JobId,
    pipe: &File,
    file: &DiskFile,
) -> std::io::Result<Child> {
    let Some((binary, arguments)) = program.split_first() else {
        return Err(std::io::Error::from(std::io::ErrorKind::InvalidInput));
    };
    Command::new(binary)
        .args(arguments)
        .args(["--job", &job.to_string()])
        // With an empty environment the keeper cannot be taken for a process of the job, or of an outer job.
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(pipe.try_clone()?))
        .stdout(Stdio::from(file.as_file().try_clone()?))
        // A process that reads this process's messages to their end must not have to wait for the job.
        .stderr(Stdio::null())
        .spawn()
}

/// Whether a child has ended; it is not reaped.
fn has_ended(child: &Child) -> bool {
    is_over(child, WaitIdOptions::NOHANG)
}

fn await_end(child: &Child) {
    is_over(child, WaitIdOptions::empty());
}

fn is_over(child: &Child, how: WaitIdOptions) -> bool {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return true };
    loop {
        match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | how) {
            Ok(status) => return status.is_some(),
            Err(rustix::io::Errno::INTR) => {}
            // The child was already reaped.
            Err(_) => return true,
        }
    }
}
