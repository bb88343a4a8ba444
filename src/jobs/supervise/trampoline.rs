//! The trampoline: a process that records itself and then becomes the job's command.
//!
//! It writes `command.json` durably, looks whether its supervisor still lives, and only then execs. A
//! supervisor killed before the look: the command never runs. Killed after it: the record was there
//! first, so whoever takes the free lock finds the process.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::signals::unblock_all;
use crate::durable::{Disk, DiskError};
use crate::jobs::command_record::CommandRecord;
use crate::jobs::fence;
use crate::jobs::stored::Stored;
use crate::queue::JobId;
use crate::state::names::BadName;
use crate::state::{JobPaths, StateDir};
use crate::system::use_of_this_process;

/// What to become, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRequest {
    /// Which job.
    pub job: JobId,
    /// Which attempt.
    pub attempt: u32,
    /// The claim that began it.
    pub claim: u64,
    /// The supervisor, which must be this process's parent.
    pub supervisor: u32,
    /// The control group to join, which must be that of the claim.
    pub cgroup: Option<PathBuf>,
    /// Program and arguments; not empty.
    pub command: Vec<OsString>,
}

/// Why this process did not become the command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotStarted {
    /// The supervisor is gone: nobody would watch over the command.
    #[error("the supervisor {supervisor} is gone")]
    Alone {
        /// Which process it was.
        supervisor: u32,
    },
    /// A later attempt has begun.
    #[error("claim {claim} is over: claim {later} has begun")]
    Late {
        /// Ours.
        claim: u64,
        /// The later one.
        later: u64,
    },
    /// Nothing to run.
    #[error("the command is empty")]
    Empty,
    /// It cannot be run.
    #[error("cannot run {program}")]
    Exec {
        /// The program.
        program: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The job's id cannot become a file name.
    #[error("the id of the job cannot be a file name")]
    BadName(#[from] BadName),
    /// The process could not be recorded.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl NotStarted {
    /// The exit status to end with, as shells have it: 127 for a program that is not there, else 126.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            NotStarted::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            _ => 126,
        }
    }
}

/// Records this process as the attempt's command and becomes it. Returns only when that failed; why is
/// then in the job's output too.
#[must_use]
pub fn exec_command(dir: &StateDir, request: &CommandRequest) -> NotStarted {
    unblock_all();
    let paths = match dir.paths.job(&request.job.to_string()) {
        Ok(paths) => paths,
        Err(e) => return e.into(),
    };
    let why = become_command(dir, &paths, request);
    // A straggler has no part in the output of the attempt that is under way.
    if !matches!(why, NotStarted::Alone { .. } | NotStarted::Late { .. }) {
        tell(&dir.disk, &paths.output(), &why);
    }
    why
}

fn become_command(dir: &StateDir, paths: &JobPaths, request: &CommandRequest) -> NotStarted {
    if let Err(e) = record(dir, paths, request) {
        return e;
    }
    let Some((program, arguments)) = request.command.split_first() else { return NotStarted::Empty };
    if !is_supervised(request) {
        return NotStarted::Alone { supervisor: request.supervisor };
    }
    let source = Command::new(program).args(arguments).exec();
    NotStarted::Exec { program: program.to_string_lossy().into_owned(), source }
}

fn record(dir: &StateDir, paths: &JobPaths, request: &CommandRequest) -> Result<(), NotStarted> {
    // A straggler of an attempt that is over must not overwrite the record of the next one.
    if !is_supervised(request) {
        return Err(NotStarted::Alone { supervisor: request.supervisor });
    }
    if let Stored::Whole(found) = CommandRecord::read(&paths.command())?
        && found.claim > request.claim
    {
        return Err(NotStarted::Late { claim: request.claim, later: found.claim });
    }
    let own = CommandRecord {
        cgroup: join(dir, request),
        state: Some(dir.stamp()),
        started_at: Some(dir.clock.now()),
        used_before: use_of_this_process(),
        ..CommandRecord::of_this_process(request.job.clone(), request.attempt, request.claim)
    };
    Ok(own.write(&dir.disk, &paths.command())?)
}

/// The group that this process is in now; `None` when it could not join: what it does not say proves
/// nothing later.
fn join(dir: &StateDir, request: &CommandRequest) -> Option<PathBuf> {
    let group = fence::recorded(dir, request.claim, request.cgroup.as_deref())?;
    group.join().ok().map(|()| group.path().to_owned())
}

fn is_supervised(request: &CommandRequest) -> bool {
    std::os::unix::process::parent_id() == request.supervisor
}

/// Says in the job's output why there is no other.
pub(super) fn tell(disk: &Disk, output: &Path, why: &dyn std::error::Error) {
    let mut text = format!("recoveryctl: {why}");
    let mut cause = why.source();
    while let Some(e) = cause {
        text.push_str(": ");
        text.push_str(&e.to_string());
        cause = e.source();
    }
    text.push('\n');
    if let Ok(mut file) = disk.open_append(output) {
        // The exit status says the same.
        let _ = file.write_all(text.as_bytes());
    }
}
