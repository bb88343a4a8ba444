//! Identifies a boot of a machine.
//!
//! A boot is known by two values: its id, and the time at which the kernel started. The id is a file that a
//! container or a hardened unit may mount over or hide, so that two processes of one boot see different ids;
//! the start time moves when the clock is set. Neither alone proves that a boot is over: see
//! [`Host::relation`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The namespace that every process of the machine is in or below (`PROC_PID_INIT_INO`).
const OUTERMOST_NAMESPACE: u64 = 0xEFFF_FFFC;
/// How far two readings of the kernel's start may differ: the kernel computes it anew for every reader, in whole
/// seconds.
pub(crate) const SAME_START_SECONDS: u64 = 2;

/// Boot, machine and process namespace: the scope of a PID and a start time.
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
    /// When the kernel started (`btime` in `/proc/stat`), in seconds since 1970; `None` where it is hidden, and
    /// in what earlier versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booted_at: Option<u64>,
}

/// Where something was recorded, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// In this boot and process namespace. `is_disputed`: the boot ids differ, the kernel's start does not.
    Here {
        /// Whether the boot id and the kernel's start disagree.
        is_disputed: bool,
    },
    /// In this boot, in another process namespace.
    OtherNamespace,
    /// In an earlier boot of this machine. `is_proven`: by the id and by the kernel's start; otherwise by the
    /// id alone, which may be mounted over.
    EarlierBoot {
        /// Whether both the id and the kernel's start prove it.
        is_proven: bool,
    },
    /// On another machine, or on this one without a way to tell.
    Elsewhere,
}

impl Host {
    /// This one.
    pub fn this() -> Host {
        let line = |path| {
            crate::durable::plain::read_text(path)
                .map_or_else(|_| String::new(), |s: String| s.trim().to_owned())
        };
        Host {
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            machine_id: line("/etc/machine-id"),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid_namespace: namespace_inode(),
            booted_at: kernel_start(),
        }
    }

    /// Where the host `recorded` is, seen from this one.
    pub(crate) fn relation(&self, recorded: &Host) -> Relation {
        let has_ids = !self.boot_id.is_empty() && !recorded.boot_id.is_empty();
        let is_same_id = has_ids && self.boot_id == recorded.boot_id;
        let is_same_start =
            self.booted_at.zip(recorded.booted_at).map(|(a, b)| a.abs_diff(b) <= SAME_START_SECONDS);
        let is_same_machine = !self.machine_id.is_empty() && self.machine_id == recorded.machine_id;
        let is_other_machine =
            !is_same_machine && !self.machine_id.is_empty() && !recorded.machine_id.is_empty();
        // With another boot id the kernel's start counts only where nothing indicates another machine.
        let is_same_boot = is_same_id || is_same_start == Some(true) && !is_other_machine;
        if is_same_boot && self.pid_namespace == recorded.pid_namespace {
            return Relation::Here { is_disputed: !is_same_id };
        }
        if is_same_boot {
            return Relation::OtherNamespace;
        }
        if has_ids && is_same_machine {
            return Relation::EarlierBoot { is_proven: is_same_start == Some(false) };
        }
        Relation::Elsewhere
    }

    /// Whether processes of the other one are visible here: same boot, same process namespace.
    pub(crate) fn shares_processes_with(&self, other: &Host) -> bool {
        matches!(self.relation(other), Relation::Here { .. })
    }

    /// Whether the other one is an earlier boot of this very machine, so that all its processes are gone.
    pub(crate) fn is_later_boot_of(&self, other: &Host) -> bool {
        matches!(self.relation(other), Relation::EarlierBoot { .. })
    }

    /// Whether every process of the machine is in this process namespace or below it.
    pub fn sees_all_namespaces(&self) -> bool {
        self.pid_namespace == OUTERMOST_NAMESPACE
    }
}

fn namespace_inode() -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |m| m.ino())
}

fn kernel_start() -> Option<u64> {
    let stat = crate::durable::plain::read_text("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(boot: &str, machine: &str, namespace: u64, booted_at: Option<u64>) -> Host {
        let (boot_id, machine_id) = (boot.to_owned(), machine.to_owned());
        Host { boot_id, machine_id, host: "box".to_owned(), pid_namespace: namespace, booted_at }
    }

    #[test]
    fn relation_by_boot_id_and_kernel_start() {
        let here = host("b", "m", 1, Some(1000));
        let expected = [
            (host("b", "m", 1, Some(1000)), Relation::Here { is_disputed: false }),
            // The clock was set.
            (host("b", "m", 1, Some(90_000)), Relation::Here { is_disputed: false }),
            (host("b", "", 2, None), Relation::OtherNamespace),
            // The id is hidden, or something is mounted over it.
            (host("x", "m", 1, Some(1001)), Relation::Here { is_disputed: true }),
            (host("", "m", 1, Some(1000)), Relation::Here { is_disputed: true }),
            (host("x", "", 1, Some(1000)), Relation::Here { is_disputed: true }),
            (host("x", "m", 2, Some(1000)), Relation::OtherNamespace),
            (host("x", "m", 1, Some(500)), Relation::EarlierBoot { is_proven: true }),
            (host("x", "m", 1, None), Relation::EarlierBoot { is_proven: false }),
            (host("x", "other", 1, Some(1000)), Relation::Elsewhere),
            (host("x", "", 1, Some(500)), Relation::Elsewhere),
            (host("", "m", 1, None), Relation::Elsewhere),
        ];
        for (recorded, relation) in expected {
            assert_eq!(here.relation(&recorded), relation, "{recorded:?}");
        }
        // A machine without an id is known by its boot alone.
        let bare = host("b", "", 1, Some(1000));
        assert_eq!(bare.relation(&host("x", "", 1, Some(1000))), Relation::Here { is_disputed: true });
        assert_eq!(bare.relation(&host("x", "", 1, Some(500))), Relation::Elsewhere);
    }

    #[test]
    fn kernel_start_from_proc() {
        assert!(Host::this().booted_at.is_some_and(|at| at > 0));
    }
}
