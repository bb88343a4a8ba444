//! `lock REPO -- CMD`: a command that runs while this process holds the repository's lock.
//!
//! The command inherits stdin, stdout and stderr, and the other descriptors that `lock` was given. It stays in
//! the terminal's process group, so that the terminal's signals reach both. `command` describes how it is
//! recognised and ended.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::acquire::acquire;
use super::caller::Caller;
use super::command::{CommandEnd, Told, UnderGrant};
use super::fencing_number::FencingNumber;
use super::grant::{GiveBackError, LockGrant};
use super::held_by::HeldBy;
use super::marks::{
    LOCK_ID_VARIABLE, LOCK_STATE_VARIABLE, LOCK_TOKEN_VARIABLE, REPOSITORY_VARIABLE, mark_variable,
};
use super::metadata::LockHolder;
use super::request::{LockRefused, LockRequest, QueuedJobs};
use super::verdict::JobLivenessOf;
use crate::state::StateDir;

/// A command that was run.
#[derive(Debug)]
pub struct RanUnder {
    /// Its exit status; 128 and the signal's number when a signal ended it.
    pub status: i32,
    /// The id of the grant that it ran under.
    pub lock_id: String,
    /// The grant's fencing number.
    pub token: FencingNumber,
    /// Whether the lock was given back in order; if not, it is judged stale once this process is gone.
    pub given_back: Result<(), GiveBackError>,
}

/// Why a command was not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunUnderError {
    /// The lock was not granted.
    #[error(transparent)]
    Refused(#[from] LockRefused),
    /// [`UnderLock::granted`] objected; the lock was given back.
    #[error("the command was not run")]
    Objected(#[source] Objection),
    /// There is no command.
    #[error("no command to run under the lock")]
    NoCommand,
    /// The command could not be started; the lock was given back.
    #[error("cannot start {}", program.display())]
    Start {
        program: OsString,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The command was started, but its end could not be learnt.
    #[error("cannot wait for the command")]
    Wait(#[source] io::Error),
}

/// Called with the grant; may object.
pub(super) type Granted<'a> = dyn Fn(&LockGrant) -> Result<(), Objection> + 'a;
/// Why a command is not to be run although the lock was granted.
type Objection = Box<dyn std::error::Error + Send + Sync>;

/// A command, and the lock to run it under.
pub struct UnderLock<'a> {
    pub repository: &'a str,
    /// The program and its arguments.
    pub command: &'a [OsString],
    /// Where the command's standard output goes.
    pub stdout: Stdio,
    /// How long to wait for the lock.
    pub wait: Duration,
    /// The caller: refused at once when it runs inside of the lock's holder.
    pub caller: &'a Caller,
    /// The time between the signal that asks for the command's end and SIGKILL.
    pub kill_grace: Duration,
    /// Whether the command gets a control group of its own, where one can be made.
    pub cgroup: bool,
    /// Says whether the job that a former grant belongs to is alive.
    pub job_liveness: &'a JobLivenessOf<'a>,
    /// The queued jobs in the same line.
    pub queue: Option<&'a dyn QueuedJobs>,
    /// Called once, with the holder that this command waits for.
    pub waiting: &'a dyn Fn(&HeldBy),
    /// Called with the grant before the command is started; may object, and then the lock is given back. From
    /// then on SIGTERM, SIGINT, SIGQUIT and SIGHUP are for the command: the callee must remove its own handlers
    /// of them.
    pub granted: &'a Granted<'a>,
}

/// As [`run_with_lock`], with the standard output of this process for the command, and no callback for the grant.
pub fn run_under(
    dir: &StateDir,
    repository: &str,
    command: &[OsString],
    wait: Duration,
    job_liveness: &JobLivenessOf<'_>,
    waiting: &dyn Fn(&HeldBy),
) -> Result<RanUnder, RunUnderError> {
    run_with_lock(
        dir,
        UnderLock {
            repository,
            command,
            stdout: Stdio::inherit(),
            wait,
            caller: &Caller::default(),
            kill_grace: Duration::from_secs(10),
            cgroup: false,
            job_liveness,
            queue: None,
            waiting,
            granted: &|_: &LockGrant| Ok(()),
        },
    )
}

/// Runs a command while holding a repository's lock, and gives the lock back.
pub fn run_with_lock(dir: &StateDir, what: UnderLock<'_>) -> Result<RanUnder, RunUnderError> {
    let (program, arguments) = what.command.split_first().ok_or(RunUnderError::NoCommand)?;
    if let Some(holder) = what.caller.is_inside(dir, what.repository) {
        let repository = what.repository.to_owned();
        return Err(LockRefused::HeldByCaller { repository, holder }.into());
    }
    let request = LockRequest {
        holder: LockHolder::Process,
        operation: in_words(program, !arguments.is_empty()),
        job_liveness: what.job_liveness,
        queue: what.queue,
        waiting: what.waiting,
    };
    let mut grant = acquire(dir, what.repository, &request, what.wait)?;
    let outcome = run(dir, &mut grant, program, arguments, what);
    let (lock_id, token) = (grant.lock_id.clone(), grant.token);
    // An unknown end is like a crash: the lock stays with whatever processes are left of the command.
    if matches!(outcome, Err(RunUnderError::Wait(_))) {
        drop(grant);
        return outcome.map(|end| RanUnder { status: end.status, lock_id, token, given_back: Ok(()) });
    }
    let given_back = match &outcome {
        Ok(end) if !end.is_over => grant.leave_to(&end.left),
        _ => grant.release(),
    };
    Ok(RanUnder { status: outcome?.status, lock_id, token, given_back })
}

fn run(
    dir: &StateDir,
    grant: &mut LockGrant,
    program: &OsString,
    arguments: &[OsString],
    what: UnderLock<'_>,
) -> Result<CommandEnd, RunUnderError> {
    // Before any other handler is removed: no signal may come in between.
    let told = Told::listen().map_err(RunUnderError::Wait)?;
    (what.granted)(grant).map_err(RunUnderError::Objected)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdout(what.stdout)
        .env(LOCK_ID_VARIABLE, &grant.lock_id)
        .env(mark_variable(&grant.lock_id), "1")
        .env(LOCK_TOKEN_VARIABLE, grant.token.to_string())
        .env(REPOSITORY_VARIABLE, grant.repository())
        .env(LOCK_STATE_VARIABLE, format!("{}/{}", dir.identity.state_id, dir.mark()));
    let under = UnderGrant::start(dir, grant, command, what.cgroup)
        .map_err(|source| RunUnderError::Start { program: program.clone(), source })?;
    under.wait(&told, what.kill_grace).map_err(RunUnderError::Wait)
}

/// The command as the lock's metadata and every report show it: the program only, because its arguments may be
/// secrets.
fn in_words(program: &OsStr, has_arguments: bool) -> String {
    let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy();
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if has_arguments { format!("{name} …") } else { name }
}
