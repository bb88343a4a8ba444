//! Which boot of which machine this is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Boot, machine and process namespace: what a PID and a start time are relative to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Changes with every boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// Stays with the installation (`/etc/machine-id`); empty where there is none.
    pub machine_id: String,
    /// For people; not unique.
    pub host: String,
    /// Inode of the process namespace: PIDs of another one mean nothing here.
    pub pid_namespace: u64,
}

impl Host {
    /// This one.
    #[must_use]
    pub fn this() -> Host {
        let line = |path| {
            std::fs::read_to_string(path).map_or_else(|_| String::new(), |s: String| s.trim().to_owned())
        };
        Host {
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            machine_id: line("/etc/machine-id"),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid_namespace: namespace_inode(),
        }
    }

    /// Whether processes of the other one are visible here: same boot, same process namespace.
    #[must_use]
    pub fn shares_processes_with(&self, other: &Host) -> bool {
        !self.boot_id.is_empty() && self.boot_id == other.boot_id && self.pid_namespace == other.pid_namespace
    }

    /// Whether the other one is an earlier boot of this very machine, so that all its processes are gone.
    #[must_use]
    pub fn is_later_boot_of(&self, other: &Host) -> bool {
        !self.boot_id.is_empty()
            && !other.boot_id.is_empty()
            && self.boot_id != other.boot_id
            && !self.machine_id.is_empty()
            && self.machine_id == other.machine_id
    }
}

fn namespace_inode() -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |m| m.ino())
}
