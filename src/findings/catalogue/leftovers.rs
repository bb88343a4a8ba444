//! Codes about what jobs leave: cleanups and orphans.

use super::Entry;
use crate::findings::Severity;

/// A cleanup is tried again only when an operator asks.
pub const CLEANUP_PARKED: Entry = Entry {
    code: "cleanup-parked",
    severity: Severity::Error,
    title: "A cleanup is parked",
    meaning: "A phase of a cleanup failed as often as is configured, or a step never came to an end in so \
              many tries.",
    done: "It is not tried again by itself. What does not depend on it was removed all the same.",
    advice: "Read the reason, mend its cause (something mounted, an immutable file, a container that \
             cannot be removed), and have it tried again.",
    next: Some("recoveryctl retry cleanup {name}"),
};

/// A cleanup failed and is tried again.
pub const CLEANUP_WAITING: Entry = Entry {
    code: "cleanup-waiting",
    severity: Severity::Warning,
    title: "A cleanup waits for its next try",
    meaning: "A phase of a cleanup failed, somebody uses the files (a process, a mount, a job whose --cwd leads \
              there, a repository in another workspace that borrows objects from them or has its git folder \
              there), or the Docker engine could not be reached: an engine that does not answer proves \
              nothing, so the files wait too.",
    done: "It is tried again, with growing pauses; nothing that is in use is touched.",
    advice: "Nothing, unless the reason is one that does not pass by itself. When git work cannot be kept (severity \
             error), the disk is full or fails, or something cannot be read: see to that. When a repository in another \
             workspace needs the files, clean up that workspace first (recoveryctl cleanup start JOB).",
    next: Some("recoveryctl cleanup state"),
};

/// A cleanup's file cannot be understood.
pub const CLEANUP_DAMAGED: Entry = Entry {
    code: "cleanup-damaged",
    severity: Severity::Error,
    title: "A cleanup's file cannot be understood",
    meaning: "The file in the folder `cleanup` is damaged, or was written by a later version.",
    done: "It was left as it is, and nothing of that cleanup is done.",
    advice: "When it was written by a later version, use that one. Else move the file away and ask for the \
             cleanup again.",
    next: Some("recoveryctl cleanup state"),
};

/// A cleanup was under way in a crash.
pub const CLEANUP_RESUMED: Entry = Entry {
    code: "cleanup-resumed",
    severity: Severity::Info,
    title: "A cleanup was interrupted",
    meaning: "The process that worked on it was killed between two steps, or within one.",
    done: "It goes on at the first step that is not done; each step may be done twice without harm.",
    advice: "Nothing.",
    next: Some("recoveryctl cleanup resuming"),
};

/// Something that no job owns any more.
pub const ORPHAN_FOUND: Entry = Entry {
    code: "orphan-found",
    severity: Severity::Warning,
    title: "Something is left that no job owns any more",
    meaning: "A scan found a folder, a container, a network, a volume, a lock, a process or a file of which \
              every check says that nobody owns it.",
    done: "It is in the saved plan. Nothing was removed.",
    advice: "Look at the plan, then have it carried out; every check is made again before each removal.",
    next: Some("recoveryctl orphans candidates"),
};

/// Something that may or may not be owned.
pub const ORPHAN_UNKNOWN: Entry = Entry {
    code: "orphan-unknown",
    severity: Severity::Warning,
    title: "It cannot be told whether something is still owned",
    meaning: "A scan found something that looks left, and one of its checks cannot be made: the queue has a \
              gap, the engine does not answer, a process is hidden, something is mounted in it.",
    done: "It is protected: what is unknown is never removed.",
    advice: "Read which check it is; mend what keeps it from being made, and scan again.",
    next: Some("recoveryctl orphans candidates"),
};

/// The engine does not answer.
pub const DOCKER_UNREACHABLE: Entry = Entry {
    code: "docker-unreachable",
    severity: Severity::Warning,
    title: "The Docker engine cannot be reached",
    meaning: "Its socket is there, or was named by the configuration, by DOCKER_HOST or by a context of the docker \
              client, and it does not answer in time, or hangs up; or a docker client or an engine is installed, and \
              which engine jobs use is not known: an absent socket proves nothing.",
    done: "Nothing is known about its containers, networks and volumes: none was removed, and no folder \
           that a container may use.",
    advice: "Start the engine, or set docker.host to its address; to \"none\" when jobs use no engine.",
    next: Some("recoveryctl config show"),
};

/// Something is mounted in a folder that is to be removed.
pub const MOUNT_IN_WORKSPACE: Entry = Entry {
    code: "mount-in-workspace",
    severity: Severity::Error,
    title: "Something is mounted in a folder that is to be removed",
    meaning: "A mount, bind mounts included, is never crossed: what is behind it may be anybody's.",
    done: "Everything else of the folder was removed, or nothing when the mount was seen before.",
    advice: "Unmount it, then try again.",
    next: Some("recoveryctl retry cleanup {name}"),
};
