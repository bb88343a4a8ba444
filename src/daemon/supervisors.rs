//! Starts supervisors, and reaps them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::durable::log::Position;
use crate::durable::{DiskError, IoContext};
use crate::jobs::{HOST_TOO_WEAK, marks};
use crate::logging::open_bounded;
use crate::queue::{Claim, JobId};
use crate::state::StateDir;

/// How many supervisors may watch the log: a user has only some watches, which other programs need too.
const MOST_WATCHES: usize = 32;

/// The supervisors that this process started and that live.
#[derive(Debug, Default)]
pub(super) struct Supervisors {
    children: HashMap<JobId, Started>,
}

#[derive(Debug)]
struct Started {
    child: Child,
    claim: Claim,
    at: Instant,
}

/// A supervisor that has ended.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) job: JobId,
    pub(super) claim: Claim,
    /// Whether it reported that the host was too weak to start the command.
    pub(super) blames_host: bool,
}

/// Checks that a supervisor could be started at all, by a cheap check.
pub(super) fn can_start(program: &[OsString]) -> Result<(), DiskError> {
    let Some(binary) = program.first().map(Path::new).filter(|binary| binary.is_absolute()) else {
        return Ok(());
    };
    let looked = rustix::fs::access(binary, rustix::fs::Access::EXEC_OK);
    looked.map_err(io::Error::from).context("start a supervisor with", binary)
}

impl Supervisors {
    /// Starts `program… --job ID --claim SEQ --log-position P`, where P is the position of the log before the claim. The supervisor is our child, but otherwise detached: it makes
    /// a session of its own, inherits no terminal or pipe, and of the environment only `environment`, which
    /// its job gets too.
    pub(super) fn start(
        &mut self,
        dir: &StateDir,
        program: &[OsString],
        environment: &[(OsString, OsString)],
        job: &JobId,
        (claim, before): (Claim, Position),
    ) -> Result<(), DiskError> {
        let log_path = dir.paths.supervisor_log();
        let log = open_bounded(&dir.disk, &log_path)?;
        let Some((binary, arguments)) = program.split_first() else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput))
                .context("start a supervisor for", &log_path);
        };
        let child = Command::new(binary)
            .args(arguments)
            .args(["--job", &job.to_string(), "--claim", &claim.to_string()])
            .args(["--log-position", &before.to_string()])
            .args((self.children.len() >= MOST_WATCHES).then_some("--no-log-watch"))
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env(marks::STATE_ID, dir.identity.state_id.to_string())
            .env(marks::STATE_INCARNATION, dir.mark())
            .env(marks::ROLE, "supervisor")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start the supervisor", binary.as_ref())?;
        self.children.insert(job.clone(), Started { child, claim, at: Instant::now() });
        Ok(())
    }

    /// Reaps the supervisors that have ended, and returns them.
    pub(super) fn reap(&mut self) -> Vec<Gone> {
        let mut gone = Vec::new();
        self.children.retain(|job, started| match started.child.try_wait() {
            Ok(None) => true,
            ended => {
                let code = ended.ok().flatten().and_then(|status| status.code());
                let blames_host = code == Some(i32::from(HOST_TOO_WEAK));
                gone.push(Gone { job: job.clone(), claim: started.claim, blames_host });
                false
            }
        });
        gone
    }

    /// Returns the jobs and claims of those that have lived for at least this time.
    pub(super) fn older_than(&self, age: Duration) -> impl Iterator<Item = (&JobId, Claim)> {
        let old = move |(job, started): (_, &Started)| {
            (started.at.elapsed() >= age).then_some((job, started.claim))
        };
        self.children.iter().filter_map(old)
    }

    /// Returns the jobs and claims of those that have lived for less than this time, and when they were
    /// started.
    pub(super) fn younger_than(&self, age: Duration) -> impl Iterator<Item = (&JobId, Claim, Instant)> {
        let young = move |(job, started): (_, &Started)| {
            (started.at.elapsed() < age).then_some((job, started.claim, started.at))
        };
        self.children.iter().filter_map(young)
    }

    /// Whether we started the job's supervisor and it lives.
    pub(super) fn watches(&self, job: &JobId) -> bool {
        self.children.contains_key(job)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }
}
