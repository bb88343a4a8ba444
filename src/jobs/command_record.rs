//! `command.json`: the command's own process, written by that process before it becomes the command. So no
//! command runs unrecorded, no matter when its supervisor is killed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::stored::{DOCUMENT_VERSION, Stored, read_stored, write_stored};
use crate::durable::{Disk, DiskError, Survives};
use crate::queue::{Claim, JobId};
use crate::state::{StateStamp, Timestamp};
use crate::system::{Host, ProcessIdentity, ResourceUse};

/// The process of an attempt's command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// Version of this form.
    pub version: u32,
    pub job_id: JobId,
    pub attempt: u32,
    /// The claim that began the attempt.
    pub claim: Claim,
    pub command: ProcessIdentity,
    /// The scope of its PID and start time.
    pub host: Host,
    /// The user that it runs as.
    pub uid: u32,
    /// The time just before it became the command: the attempt's run time begins here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The resources that the process used before it became the command; they are not the command's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_before: Option<ResourceUse>,
    /// The control group that it has joined, and that everything it starts will be in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<PathBuf>,
    /// The state directory that the attempt was begun for; `None` in records of versions without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateStamp>,
}

impl CommandRecord {
    /// This process, about to become the command.
    pub fn of_this_process(job_id: JobId, attempt: u32, claim: Claim) -> CommandRecord {
        CommandRecord {
            version: DOCUMENT_VERSION,
            job_id,
            attempt,
            claim,
            command: ProcessIdentity::this(),
            host: Host::this(),
            uid: rustix::process::geteuid().as_raw(),
            started_at: None,
            used_before: None,
            cgroup: None,
            state: None,
        }
    }

    /// Reads one.
    pub fn read(path: &Path) -> Result<Stored<CommandRecord>, DiskError> {
        read_stored(path)
    }

    /// Writes it. It names a process, so it need not survive a power loss, which ends every process.
    pub fn write(&self, disk: &Disk, path: &Path) -> Result<(), DiskError> {
        write_stored(disk, path, self, Survives::Kill)
    }
}
