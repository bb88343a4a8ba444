//! `lock REPO -- CMD`: a command that runs while this process holds the repository's lock.
//!
//! The command inherits stdin, stdout and stderr and stays in the terminal's process group, so that the
//! terminal's signals reach both. This process outlives an interrupt or quit from the terminal, to give
//! the lock back when the command has ended, as system(3) does. Other signals are not passed on: when
//! this process is ended by one, the command goes on, and the lock stays with it by its mark.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGQUIT};

use super::acquire::{QueuedJobs, acquire};
use super::grant::{GiveBackError, LockGrant, LockRefused, LockRequest};
use super::held_by::HeldBy;
use super::metadata::LockHolder;
use super::scan::{LOCK_ID_VARIABLE, LOCK_STATE_VARIABLE, mark_variable};
use super::verdict::JobLivenessOf;
use crate::state::StateDir;

/// The variable that holds the fencing number.
pub const LOCK_TOKEN_VARIABLE: &str = "RECOVERYCTL_LOCK_TOKEN";
/// The variable that holds the repository's name.
pub const REPOSITORY_VARIABLE: &str = "RECOVERYCTL_REPOSITORY";

/// A command that was run.
#[derive(Debug)]
pub struct RanUnder {
    /// Its exit status; 128 and the signal's number when a signal ended it.
    pub status: i32,
    /// The grant it ran under.
    pub lock_id: String,
    /// The grant's fencing number.
    pub token: u64,
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
    /// Whoever heard of the grant objected; the lock was given back.
    #[error("the command was not run")]
    Objected(#[source] Objection),
    /// There is no command.
    #[error("no command to run under the lock")]
    NoCommand,
    /// The command could not be started; the lock was given back.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program.
        program: OsString,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The command was started, but its end could not be learnt.
    #[error("cannot wait for the command")]
    Wait(#[source] io::Error),
}

/// What hears of a grant.
pub type Granted<'a> = dyn Fn(&LockGrant) -> Result<(), Objection> + 'a;
/// Why a command is not to be run although the lock was granted.
pub type Objection = Box<dyn std::error::Error + Send + Sync>;

/// What is to be run under which lock.
pub struct UnderLock<'a> {
    /// The repository.
    pub repository: &'a str,
    /// The program and its arguments.
    pub command: &'a [OsString],
    /// Where the command prints.
    pub stdout: Stdio,
    /// How long to wait for the lock.
    pub wait: Duration,
    /// Says whether the job that a former grant belongs to is alive.
    pub job_liveness: &'a JobLivenessOf<'a>,
    /// The queued jobs, which stand in the same line.
    pub queue: Option<&'a dyn QueuedJobs>,
    /// Hears once for whom is waited.
    pub waiting: &'a dyn Fn(&HeldBy),
    /// Hears of the grant, before the command is started, and may object: then the lock is given back.
    pub granted: &'a Granted<'a>,
}

/// Runs a command while holding a repository's lock, and gives the lock back; as [`run_with_lock`], with
/// the command printing where this process does.
///
/// # Errors
/// See [`RunUnderError`].
pub fn run_under(
    dir: &StateDir,
    repository: &str,
    command: &[OsString],
    wait: Duration,
    job_liveness: &JobLivenessOf<'_>,
    waiting: &dyn Fn(&HeldBy),
) -> Result<RanUnder, RunUnderError> {
    let stdout = Stdio::inherit();
    let granted = &|_: &LockGrant| Ok(());
    let queue = None;
    run_with_lock(dir, UnderLock { repository, command, stdout, wait, job_liveness, queue, waiting, granted })
}

/// Runs a command while holding a repository's lock, and gives the lock back.
///
/// # Errors
/// See [`RunUnderError`].
pub fn run_with_lock(dir: &StateDir, what: UnderLock<'_>) -> Result<RanUnder, RunUnderError> {
    let UnderLock { repository, command, stdout, wait, job_liveness, queue, waiting, granted } = what;
    let (program, arguments) = command.split_first().ok_or(RunUnderError::NoCommand)?;
    let request = LockRequest {
        holder: LockHolder::Process,
        operation: in_words(program, !arguments.is_empty()),
        job_liveness,
        queue,
        waiting,
    };
    let grant = acquire(dir, repository, &request, wait)?;
    let outcome = match granted(&grant) {
        Ok(()) => run(dir, &grant, program, arguments, stdout),
        Err(objection) => Err(RunUnderError::Objected(objection)),
    };
    let (lock_id, token) = (grant.lock_id.clone(), grant.token);
    // An unknown end is like a crash: the lock stays with whatever bears its mark.
    if matches!(outcome, Err(RunUnderError::Wait(_))) {
        drop(grant);
        return outcome.map(|status| RanUnder { status, lock_id, token, given_back: Ok(()) });
    }
    let given_back = grant.release();
    Ok(RanUnder { status: outcome?, lock_id, token, given_back })
}

fn run(
    dir: &StateDir,
    grant: &LockGrant,
    program: &OsString,
    arguments: &[OsString],
    stdout: Stdio,
) -> Result<i32, RunUnderError> {
    let _shielded = Shield::up();
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(stdout)
        .env(LOCK_ID_VARIABLE, &grant.lock_id)
        .env(mark_variable(&grant.lock_id), "1")
        .env(LOCK_TOKEN_VARIABLE, grant.token.to_string())
        .env(REPOSITORY_VARIABLE, grant.repository())
        .env(LOCK_STATE_VARIABLE, format!("{}/{}", dir.identity.state_id, dir.mark()))
        .spawn()
        .map_err(|source| RunUnderError::Start { program: program.clone(), source })?;
    child.wait().map(exit_status).map_err(RunUnderError::Wait)
}

fn exit_status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// What the lock's metadata and every report say of the command: the program. Its arguments may be secrets,
/// and whoever may look at the process sees them anyway.
fn in_words(program: &OsStr, has_arguments: bool) -> String {
    let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy();
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if has_arguments { format!("{name} …") } else { name }
}

/// While it is up, an interrupt from the terminal does not end this process; afterwards it does again.
/// A handler, unlike an ignored signal, is not inherited by the command.
struct Shield {
    lowered: Arc<AtomicBool>,
}

impl Shield {
    fn up() -> Shield {
        let lowered = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGQUIT] {
            // Refused only for signals that cannot be handled, which these are not.
            let _ = signal_hook::flag::register_conditional_default(signal, lowered.clone());
        }
        Shield { lowered }
    }
}

impl Drop for Shield {
    fn drop(&mut self) {
        self.lowered.store(true, Ordering::SeqCst);
    }
}
