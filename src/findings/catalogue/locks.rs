//! Codes about repository locks.

use super::Entry;
use crate::findings::Severity;

/// A lock's holder is gone.
pub const LOCK_HOLDER_GONE: Entry = Entry {
    code: "lock-holder-gone",
    severity: Severity::Info,
    title: "The holder of a repository lock was gone",
    meaning: "The process that held the lock, and everything it started, is provably gone; it did not give \
              the lock back.",
    done: "The lock was given back and its fencing number raised, so that a late holder is recognised.",
    advice: "Check the repository for work that was left half done.",
    next: Some("recoveryctl locks inspect {name}"),
};

/// A lock is kept closed because its holder is unknown.
pub const LOCK_UNAVAILABLE: Entry = Entry {
    code: "lock-unavailable",
    severity: Severity::Error,
    title: "A repository is unavailable",
    meaning: "It cannot be told whether the holder of its lock is alive: the metadata is damaged, another \
              machine wrote it, its process was in another process namespace (a container) that cannot be seen \
              to be gone from here, or the file system does not lock.",
    done: "The lock is kept; jobs of this repository wait, all others run. A damaged file is in quarantine.",
    advice: "Look at the evidence. The lock of a container that is gone is given back by a recovery that runs as \
             root on the host. Damaged metadata is mended by: recoveryctl repair locks. Once you know that \
             nobody works on the repository, release it with --force.",
    next: Some("recoveryctl why {object}"),
};

/// A lock survived with its job.
pub const LOCK_KEPT: Entry = Entry {
    code: "lock-kept",
    severity: Severity::Info,
    title: "A repository lock was kept",
    meaning: "The daemon that granted it is gone, but its holder is alive.",
    done: "The lock stays with its holder until that ends.",
    advice: "Nothing.",
    next: Some("recoveryctl locks inspect {name}"),
};

/// What runs under a lock was started before a backup was put back.
pub const LOCK_OF_OTHER_INCARNATION: Entry = Entry {
    code: "lock-of-other-incarnation",
    severity: Severity::Warning,
    title: "A command runs under a lock that another incarnation of the state directory granted",
    meaning: "A backup of the state directory was put back, or the directory was replaced, while a command of \
              `recoveryctl lock` worked on this repository. The files that were put back do not tell of its lock.",
    done: "It is left alone. The repository is not granted, and its jobs wait, until it has ended.",
    advice: "Wait for it, or end it by hand (kill): the finding names the PIDs.",
    next: Some("recoveryctl why {object}"),
};
