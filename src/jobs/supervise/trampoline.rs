//! The trampoline: a process that records itself and then becomes the job's command.
//!
//! It writes `command.json` durably, checks that its supervisor still lives, and only then execs. If the
//! supervisor is killed before the check, the command never runs. If it is killed after the check, the record
//! was there first, so a process that takes the free lock finds the command.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::signals::unblock_all;
use super::start_report::{Report, StartFailure};
use crate::durable::is_weakness;
use crate::durable::{Disk, DiskError, error_chain};
use crate::jobs::cgroup_name;
use crate::jobs::command_record::CommandRecord;
use crate::jobs::stored::Stored;
use crate::queue::{Claim, JobId};
use crate::state::names::BadName;
use crate::state::{JobPaths, StateDir};
use crate::system::{Confinement, use_of_this_process};

/// Pauses before an operation that the host refused is tried again, in milliseconds. Longer failures are left to
/// the scheduler.
const PAUSES: [u64; 5] = [10, 30, 100, 300, 1_000];

/// The command to become, and its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRequest {
    pub job: JobId,
    pub attempt: u32,
    /// The claim that began it.
    pub claim: Claim,
    /// The supervisor, which must be this process's parent.
    pub supervisor: u32,
    /// The control group to join, which must be that of the claim.
    pub cgroup: Option<PathBuf>,
    /// Umask and limits that the command starts with.
    pub confinement: Confinement,
    /// Whether standard input takes the report of a start that failed.
    pub reports: bool,
    /// Program and arguments; not empty.
    pub command: Vec<OsString>,
}

/// Why this process did not become the command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotStarted {
    /// The supervisor is gone: nothing would watch the command.
    #[error("the supervisor {supervisor} is gone")]
    Alone {
        /// The supervisor's PID.
        supervisor: u32,
    },
    /// A later attempt has begun.
    #[error("claim {claim} is over: claim {later} has begun")]
    Late {
        /// The claim that this process was started for.
        claim: Claim,
        /// The later one.
        later: Claim,
    },
    /// Nothing to run.
    #[error("the command is empty")]
    Empty,
    /// It cannot be run.
    #[error("cannot run {program}")]
    Exec {
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
    /// The host did not provide what every start needs.
    #[error("the host cannot start {what}")]
    Host {
        /// The program or file.
        what: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl NotStarted {
    /// The exit status to end with, as in shells: 127 for a program that does not exist, else 126.
    pub fn exit_code(&self) -> i32 {
        match self {
            NotStarted::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            _ => 126,
        }
    }

    /// Why the command was not begun, when that is not the command's own fault; `None` when it is, and the
    /// attempt has ended as in a shell.
    pub(super) fn failure(&self) -> Option<StartFailure> {
        let of_host = match self {
            NotStarted::Host { .. } => true,
            NotStarted::Exec { source, .. } if is_weakness(source) => true,
            NotStarted::Disk(e) => is_weakness(&e.source),
            _ => return None,
        };
        Some(StartFailure { why: error_chain(self), of_host })
    }
}

/// Records this process as the attempt's command and becomes it. Returns only when that failed; the reason is
/// then in the job's output too.
pub fn exec_command(dir: &StateDir, request: &CommandRequest) -> NotStarted {
    unblock_all();
    let paths = match dir.paths.job(&request.job.to_string()) {
        Ok(paths) => paths,
        Err(e) => return e.into(),
    };
    let report = if request.reports { Report::take().map(Some) } else { Ok(None) };
    let (why, report) = match report {
        Ok(report) => (become_command_in_the_end(dir, &paths, request), report),
        Err(source) => (NotStarted::Host { what: "the command with its report", source }, None),
    };
    match (why.failure(), report) {
        (Some(failure), Some(report)) => report.tell(&failure),
        // A straggler must not write to the output of the attempt that is under way.
        _ if matches!(why, NotStarted::Alone { .. } | NotStarted::Late { .. }) => {}
        _ => tell(&dir.disk, &paths.output(), &why),
    }
    why
}

/// Reports to the supervisor, on the pipe that is standard input, that the command was not begun and nothing was
/// recorded.
pub fn not_begun(why: &str, of_host: bool) {
    if let Ok(report) = Report::take() {
        report.tell(&StartFailure { why: why.to_owned(), of_host });
    }
}

/// Becomes the command, with a few tries: a short refusal by the host (a file that is being written, no memory)
/// costs no attempt.
fn become_command_in_the_end(dir: &StateDir, paths: &JobPaths, request: &CommandRequest) -> NotStarted {
    let mut pauses = PAUSES.iter();
    loop {
        let why = become_command(dir, paths, request);
        let passes = why.failure().is_some_and(|failure| failure.of_host);
        let Some(pause) = pauses.next().filter(|_| passes) else { return why };
        std::thread::sleep(std::time::Duration::from_millis(*pause));
    }
}

fn become_command(dir: &StateDir, paths: &JobPaths, request: &CommandRequest) -> NotStarted {
    if let Err(e) = record(dir, paths, request) {
        return e;
    }
    let Some((program, arguments)) = request.command.split_first() else { return NotStarted::Empty };
    if request.reports
        && let Err(source) = Report::give_way()
    {
        return NotStarted::Host { what: "a command without /dev/null", source };
    }
    // Checked after the record was written: a supervisor that died earlier leaves a record of this process, which
    // ends here; a supervisor that dies later leaves a recorded command.
    if !is_supervised(request) {
        return NotStarted::Alone { supervisor: request.supervisor };
    }
    request.confinement.apply();
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

/// Joins the control group and returns the group that this process is in then. `None` when it could not join:
/// then the record must not name the group, because an empty group would prove nothing.
fn join(dir: &StateDir, request: &CommandRequest) -> Option<PathBuf> {
    let group = cgroup_name::recorded(dir, request.claim, request.cgroup.as_deref())?;
    group.join().ok().map(|()| group.path().to_owned())
}

fn is_supervised(request: &CommandRequest) -> bool {
    std::os::unix::process::parent_id() == request.supervisor
}

/// Writes into the job's output why there is no output of the command.
pub(super) fn tell(disk: &Disk, output: &Path, why: &(dyn std::error::Error + 'static)) {
    let text = format!("recoveryctl: {}\n", error_chain(why));
    if let Ok(mut file) = disk.open_append(output) {
        // The exit status says the same.
        let _ = file.write_all(text.as_bytes());
    }
}
