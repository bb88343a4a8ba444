//! A server that is started from inside a job leaves that job: it is to outlive it, and so are the jobs that it starts.
//!
//! It leaves the job's control group and session, and becomes the same program once more without the job's marks in
//! its environment: a process cannot change what `/proc` shows of its own. Process number, files and arguments stay.

use std::os::unix::process::CommandExt;
use std::process::Command;

use recovery::jobs::{leave_attempts_group, marks, supervisor_above};

use crate::error::{CliError, ErrorKind};
use crate::internal::own_program;

/// Which server this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Daemon,
    Work,
    /// Only when it was detached, by a session of its own: one that a job waits for is a part of that job, and
    /// so is its command.
    Lock,
}

impl Server {
    const fn role(self) -> &'static str {
        match self {
            Server::Daemon => "daemon",
            Server::Work => "work",
            Server::Lock => "lock",
        }
    }
}

/// Returns when this process is in no job, or a part of one; else it becomes the same program again, outside.
pub(crate) fn leave_job(server: Server) -> Result<(), CliError> {
    let job = std::env::var_os(marks::JOB_ID);
    let has_left = job.is_none() && std::env::var_os(marks::ROLE).is_some();
    if has_left {
        return Ok(());
    }
    let supervisor = supervisor_above();
    let is_inside = job.is_some() || supervisor.is_some();
    if !is_inside || server == Server::Lock && !is_detached(supervisor) {
        return Ok(());
    }
    let refused = |e: std::io::Error| {
        let job = job.as_ref().map_or_else(|| "a job".to_owned(), |id| format!("job {}", id.display()));
        let message =
            format!("it runs inside {job} and cannot leave it: {e}; it would be ended with that job");
        CliError::new(ErrorKind::Refused, message)
            .code("inside-a-job")
            .hint("start it outside of the job: by a service manager, cron or a shell")
    };
    leave_attempts_group().map_err(refused)?;
    // The leader of a process group cannot leave; then only its role shows what it is.
    let _ = rustix::process::setsid();
    let mut again = Command::new(own_program());
    again.args(std::env::args_os().skip(1)).env(marks::ROLE, server.role());
    for mark in marks::OF_JOB {
        again.env_remove(mark);
    }
    Err(refused(again.exec()))
}

/// Whether it is in another session than the commands of the job's supervisor, or that is gone.
fn is_detached(supervisor: Option<u32>) -> bool {
    let session =
        rustix::process::getsid(None).ok().and_then(|s| u32::try_from(s.as_raw_nonzero().get()).ok());
    session != supervisor
}
