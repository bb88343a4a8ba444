//! Identifies processes that descend from a job, or are in its session, but do not belong to it.
//!
//! A job may start a daemon: to restart the server, or to upgrade it. That daemon, its supervisors and their jobs
//! descend from the job's supervisor like everything that the job starts, and must outlive the job. Their
//! environment at their start tells them apart: processes of another job have its marks, and a server that has
//! left the job has [`marks::ROLE`] and no job's marks. Processes in the job's own control group always belong to
//! the job: a server leaves that group too.

use super::marks;
use crate::queue::JobId;
use crate::state::StateDir;
use crate::system::environment_of;

/// The parts of an environment that identify the owner of a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tokens {
    pub(super) job: Option<Vec<u8>>,
    pub(super) state_id: Option<Vec<u8>>,
    /// Whether it is a server, or one of its supervisors.
    pub(super) is_server: bool,
}

impl Tokens {
    /// From `NAME=value` entries.
    pub(super) fn of<'a>(entries: impl Iterator<Item = &'a [u8]>) -> Tokens {
        let mut tokens = Tokens::default();
        for entry in entries {
            let value =
                |name: &str| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec);
            tokens.job = tokens.job.or_else(|| value(marks::JOB_ID));
            tokens.state_id = tokens.state_id.or_else(|| value(marks::STATE_ID));
            tokens.is_server |= value(marks::ROLE).is_some();
        }
        tokens
    }

    /// Whether they belong to another job, or to a server.
    pub(super) fn are_foreign_to(&self, job: &[u8], state_id: &[u8]) -> bool {
        match &self.job {
            Some(other) if other != job => true,
            Some(_) => self.state_id.as_ref().is_some_and(|other| other != state_id),
            None => self.is_server,
        }
    }
}

/// One job, to which a process is compared.
#[derive(Debug, Clone)]
pub(super) struct Kinship {
    job: Vec<u8>,
    state_id: Vec<u8>,
}

impl Kinship {
    pub(super) fn new(dir: &StateDir, job: &JobId) -> Kinship {
        let state_id = dir.identity.state_id.to_string().into_bytes();
        Kinship { job: job.to_string().into_bytes(), state_id }
    }

    /// Whether a process is known not to be the job's. A process whose environment may not be read may be the
    /// job's.
    pub(super) fn is_foreign(&self, pid: u32) -> bool {
        let Ok(entries) = environment_of(pid) else { return false };
        Tokens::of(entries.iter().map(Vec::as_slice)).are_foreign_to(&self.job, &self.state_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_foreign(entries: &[&str]) -> bool {
        Tokens::of(entries.iter().map(|e| e.as_bytes())).are_foreign_to(b"a", b"ours")
    }

    #[test]
    fn kinship_by_marks() {
        assert!(!is_foreign(&[]));
        assert!(!is_foreign(&["RECOVERYCTL_JOB_ID=a", "RECOVERYCTL_STATE_ID=ours"]));
        assert!(is_foreign(&["RECOVERYCTL_JOB_ID=b", "RECOVERYCTL_STATE_ID=ours"]));
        assert!(is_foreign(&["RECOVERYCTL_JOB_ID=a", "RECOVERYCTL_STATE_ID=theirs"]));
        assert!(is_foreign(&["PATH=/bin", "RECOVERYCTL_ROLE=daemon"]));
        // A job's process that sets a server's role is still the job's.
        assert!(!is_foreign(&["RECOVERYCTL_ROLE=daemon", "RECOVERYCTL_JOB_ID=a"]));
        assert!(!is_foreign(&["RECOVERYCTL_JOB_IDENTITY=b", "XRECOVERYCTL_ROLE=daemon"]));
    }
}
