//! Starting supervisors, and reaping those that we started.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::process::{Child, Command, Stdio};

use crate::durable::{DiskError, Tried};
use crate::jobs::marks;
use crate::queue::JobId;
use crate::state::StateDir;

/// So many supervisors watch the log: a user's watches are for other programs too.
const MOST_WATCHES: usize = 32;

/// The supervisors that this process started and that live.
#[derive(Debug, Default)]
pub(super) struct Supervisors {
    children: HashMap<JobId, Child>,
}

impl Supervisors {
    /// Starts `program… --job ID --claim SEQ`, detached in all but parentage: it makes a session of its
    /// own, and what it inherits are no terminals or pipes of ours.
    pub(super) fn start(
        &mut self,
        dir: &StateDir,
        program: &[OsString],
        job: &JobId,
        claim: u64,
    ) -> Result<(), DiskError> {
        let log_path = dir.paths.supervisor_log();
        let log = dir.disk.open_append(&log_path)?;
        let Some((binary, arguments)) = program.split_first() else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput))
                .tried("start a supervisor for", &log_path);
        };
        let child = Command::new(binary)
            .args(arguments)
            .args(["--job", &job.to_string(), "--claim", &claim.to_string()])
            .args((self.children.len() >= MOST_WATCHES).then_some("--no-log-watch"))
            .env(marks::STATE_ID, dir.identity.state_id.to_string())
            .env(marks::ROLE, "supervisor")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .tried("start the supervisor", binary.as_ref())?;
        self.children.insert(job.clone(), child);
        Ok(())
    }

    /// Takes note of those that have ended; their jobs.
    pub(super) fn reap(&mut self) -> Vec<JobId> {
        let is_over = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        self.children.extract_if(|_, child| is_over(child)).map(|(job, _)| job).collect()
    }

    /// Whether we started the job's supervisor and it lives.
    pub(super) fn watches(&self, job: &JobId) -> bool {
        self.children.contains_key(job)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }
}
