//! Codes about the ends of jobs, and about whether they are known.

use super::Entry;
use crate::findings::Severity;

/// A job's process vanished.
pub const JOB_CRASHED: Entry = Entry {
    code: "job-crashed",
    severity: Severity::Warning,
    title: "A job's process vanished without an exit record",
    meaning: "The job was running; its supervisor and all its processes are provably gone, and nobody wrote \
              how it ended: they were killed, or the machine went down.",
    done: "The attempt was recorded as crashed and the job's policy applied: hold, requeue or fail.",
    advice: "Read its output. A job on hold waits for you to resume it.",
    next: Some("recoveryctl resume {name}"),
};

/// A job crashed as often as it may.
pub const JOB_ATTEMPTS_EXHAUSTED: Entry = Entry {
    code: "job-attempts-exhausted",
    severity: Severity::Error,
    title: "A job crashed in every attempt that it may make",
    meaning: "Its policy is requeue, and the last of its attempts crashed too.",
    done: "The job stays crashed; it is not started again by itself.",
    advice: "Find out why it crashes before you resume it: jobs output --attempt N shows what it \
             printed in each.",
    next: Some("recoveryctl jobs output {name}"),
};

/// A job ended while no process watched it.
pub const JOB_FINISHED_WHILE_AWAY: Entry = Entry {
    code: "job-finished-while-away",
    severity: Severity::Info,
    title: "A job ended while no daemon was there",
    meaning: "Its supervisor wrote how it ended but could not record it in the queue.",
    done: "The end was recorded with the exit status and time of the exit file.",
    advice: "Nothing.",
    next: Some("recoveryctl jobs show {name}"),
};

/// It cannot be known whether a job lives.
pub const JOB_LIVENESS_UNKNOWN: Entry = Entry {
    code: "job-liveness-unknown",
    severity: Severity::Error,
    title: "It cannot be told whether a job is alive",
    meaning: "The evidence does not decide: another machine wrote it, locks mean nothing on this file \
              system, or processes are hidden from us.",
    done: "Nothing: the job stays running and its repository stays closed, since it may be alive.",
    advice: "Look where it ran ('recoveryctl why job:NAME' shows all evidence). Once you know that it is over, \
             declare it dead: what can be proven still wins over that, and a job that lives is refused.",
    next: Some("recoveryctl repair jobs --assume-dead {name} --reason 'known to be over'"),
};

/// Two boot ids are seen side by side.
pub const BOOT_IDENTITY_DIFFERS: Entry = Entry {
    code: "boot-identity-differs",
    severity: Severity::Warning,
    title: "A job lives that was recorded under another boot id",
    meaning: "Its supervisor or command lives, and yet what they recorded names another boot than the one that \
              this process sees: /proc/sys/kernel/random/boot_id is hidden from one of them (a hardened unit, a \
              container), or something is mounted over it.",
    done: "The living process counts for more than the file: the job is alive, its repository stays closed.",
    advice: "Let daemon and shell see the same file: in a unit, ProtectKernelTunables and ProcSubset hide it.",
    next: Some("recoveryctl why {object}"),
};

/// The processes of a job were started before a backup was put back.
pub const JOB_OF_OTHER_INCARNATION: Entry = Entry {
    code: "job-of-other-incarnation",
    severity: Severity::Warning,
    title: "A job runs that another incarnation of the state directory started",
    meaning: "A backup of the state directory was put back, or the directory was replaced, while processes of \
              this job lived. They record their end in the directory that they were started for.",
    done: "They are left alone. No other attempt of the job starts while they live, and its repository stays \
           closed.",
    advice: "Wait for them, or end them by hand (kill): the finding names their PIDs.",
    next: Some("recoveryctl why {object}"),
};

/// Processes run that belong to no known job of the queue.
pub const UNKNOWN_JOB_LIVES: Entry = Entry {
    code: "unknown-job-lives",
    severity: Severity::Error,
    title: "Processes of a job run that the queue does not know",
    meaning: "A backup of the state directory was put back, or the directory was replaced, while a job ran. The \
              queue that was put back has no such job, or nothing tells which job the processes are of: they have \
              cleared their environment and print elsewhere, and only their control group is known.",
    done: "They are left alone. Where their job is not known no job is started, for it may be the same one; where \
           their repository is not known no job that has a repository is; else the repository stays closed.",
    advice: "Wait for them, or end them by hand (kill): the finding names their PIDs. What waits starts by itself \
             then.",
    next: Some("recoveryctl state show"),
};

/// The supervisor is gone, but the command is not.
pub const JOB_ORPHANED_PROCESS: Entry = Entry {
    code: "job-orphaned-process",
    severity: Severity::Warning,
    title: "A job runs without its supervisor",
    meaning: "The supervisor is gone, but the command or one of its children is alive, or its control group has \
              processes that cannot be seen from here, in a container for instance.",
    done: "The job counts as running and its repository stays closed. When the last process goes, the end \
           is recorded; its exit status is lost.",
    advice: "Wait for it, or cancel it.",
    next: Some("recoveryctl jobs show {name}"),
};

/// A running job's heartbeat is old.
pub const JOB_HEARTBEAT_STALE: Entry = Entry {
    code: "job-heartbeat-stale",
    severity: Severity::Warning,
    title: "A running job's heartbeat is old",
    meaning: "The supervisor is alive but has not touched the sentinel for a while (jobs.stale_after): it is \
              stopped, starved, or its disk hangs.",
    done: "Nothing: an old heartbeat alone proves nothing, the job counts as running.",
    advice: "Look at the machine's load, and whether the supervisor was stopped (state T).",
    next: Some("recoveryctl jobs sentinels"),
};

/// A time lies in the future.
pub const CLOCK_SKEW: Entry = Entry {
    code: "clock-skew",
    severity: Severity::Warning,
    title: "A heartbeat lies in the future",
    meaning: "The clock went back, or another machine with another clock wrote the file.",
    done: "The heartbeat counts as stale. No verdict rests on it.",
    advice: "Check the time synchronisation of the machine.",
    next: Some("recoveryctl jobs sentinels"),
};

/// A pause would last longer than it was meant to.
pub const CLOCK_WAS_AHEAD: Entry = Entry {
    code: "clock-was-ahead",
    severity: Severity::Warning,
    title: "A job's pause was made by a clock that was ahead",
    meaning: "What is left of the pause before the job's next start is more than the pause was made for: the clock \
              was set back since.",
    done: "The pause counts as over: the job starts with its turn. No pause lasts longer than it was made for.",
    advice: "Check the time synchronisation of the machine. Dates that were noted meanwhile lie in the future.",
    next: Some("recoveryctl why {object}"),
};
