//! Settings of a supervisor, and the results of its work.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use super::repository::RepositoryLocker;
use crate::durable::log::Position;
use crate::durable::{DiskError, LockError};
use crate::jobs::recover::RequeuePauses;
use crate::queue::{Claim, JobId, QueueError};
use crate::state::names::BadName;

/// What to supervise, and how.
#[derive(Debug, Clone)]
pub struct SuperviseSettings {
    pub job: JobId,
    /// The claim that begins the attempt.
    pub claim: Claim,
    /// A position of the log not long before the claim, so that less of the log is read; `None` when not known.
    pub log_position: Option<Position>,
    /// Program and first arguments of the trampoline, which calls [`super::exec_command`]. Its task is
    /// appended: `--job ID --attempt N --claim SEQ --supervisor PID [--cgroup PATH] --reports -- COMMAND…`.
    pub trampoline: Vec<OsString>,
    /// Program and first arguments of a process that calls [`crate::jobs::keep_output`] with a pipe as its
    /// standard input and a file as its standard output; `--job ID` is appended. When it is empty, the supervisor
    /// alone empties the job's pipe.
    pub keeper: Vec<OsString>,
    /// The time between SIGTERM and SIGKILL.
    pub kill_grace: Duration,
    /// The time between two heartbeats.
    pub heartbeat: Duration,
    /// Whether the job gets a control group of its own, where one can be made.
    pub cgroup: bool,
    /// Whether to watch the log, to learn of records about the job at once: a user has few watches (128 unless
    /// configured). Without a watch the log is read at intervals, and a daemon's reminder arrives earlier.
    pub watch_log: bool,
    /// The most output that is kept, in bytes.
    pub output_limit: u64,
    /// How long the job rests before its next attempt when this one is interrupted, and its policy wants one.
    pub requeue: RequeuePauses,
    /// How long to wait for `sentinel.lock`; processes that judge hold it for moments only.
    pub lock_wait: Duration,
    /// How long to wait for the repository.
    pub repository_wait: Duration,
    /// How long the claim rests after its repository was not free.
    pub repository_pause: Duration,
}

impl SuperviseSettings {
    /// With the usual times.
    pub fn new(job: JobId, claim: Claim, trampoline: Vec<OsString>) -> SuperviseSettings {
        SuperviseSettings {
            job,
            claim,
            log_position: None,
            trampoline,
            keeper: Vec::new(),
            kill_grace: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
            cgroup: true,
            watch_log: true,
            output_limit: 1 << 30,
            requeue: RequeuePauses::default(),
            lock_wait: Duration::from_secs(5),
            repository_wait: Duration::from_secs(2),
            repository_pause: Duration::from_secs(5),
        }
    }
}

/// Functions that a supervisor needs from outside this module.
pub struct SupervisorHooks<'a> {
    /// Gives repositories to jobs.
    pub gate: &'a dyn RepositoryLocker,
    /// Called with a sentence for each trouble that does not stop the supervisor.
    pub notice: &'a dyn Fn(&str),
    /// Called when a command died of a signal: says in words what is ending this machine, container or session
    /// just now; `None` when no such thing is known.
    pub host_is_ending: &'a dyn Fn() -> Option<String>,
}

/// The exit status of a supervisor that could not start its command because the host was too weak (`EX_TEMPFAIL`
/// of sysexits): the scheduler does not count that against the job.
pub const HOST_TOO_WEAK: u8 = 75;

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Supervised {
    /// The attempt ran, and its end is recorded.
    Ended {
        /// Exit status of the command.
        exit_code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
    },
    /// The claim is not the job's present one: nothing was run.
    ClaimLost {
        /// The obstacle.
        why: String,
    },
    /// The claim was given back: nothing was run.
    GivenBack { why: String },
    /// The command was not begun, and all traces are removed: the claim is judged as never started.
    NotStarted {
        why: String,
        /// Whether the host was too weak, which counts against no job.
        of_host: bool,
    },
}

/// Why nothing could be supervised. The next judgement finds the claim never started, or crashed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuperviseError {
    /// The job's id cannot become a file name.
    #[error("the id of the job cannot be a file name")]
    BadName(#[from] BadName),
    /// The process could not get a session, become the reaper, or catch signals.
    #[error("cannot {action}")]
    System {
        /// The failed operation.
        action: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Another supervisor of the job lives, or the lock cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The system refused a file.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The queue could not be read, or changed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The job's spec cannot be parsed.
    #[error("what job {job} is to run cannot be understood")]
    Spec {
        job: JobId,
        #[source]
        source: serde_json::Error,
    },
    /// A backup was put back into the state directory while the job ran: the job's end does not belong to that
    /// time.
    #[error(
        "the state directory {} went back in time: the end of job {job} ({how}) is not recorded in it",
        path.display()
    )]
    OtherTime {
        job: JobId,
        /// Where it is.
        path: std::path::PathBuf,
        /// How the job ended.
        how: String,
    },
    /// The state directory was removed while the job ran.
    #[error("the state directory {} is gone: the end of job {job} cannot be recorded", path.display())]
    StateGone {
        job: JobId,
        /// Where it was.
        path: std::path::PathBuf,
    },
}

pub(super) trait SystemContext<T> {
    fn system_context(self, action: &'static str) -> Result<T, SuperviseError>;
}

impl<T, E: Into<io::Error>> SystemContext<T> for Result<T, E> {
    fn system_context(self, action: &'static str) -> Result<T, SuperviseError> {
        self.map_err(|e| SuperviseError::System { action, source: e.into() })
    }
}
