//! Codes about jobs that live, or that cannot be started.

use super::Entry;
use crate::findings::Severity;

/// A job is alive, and no process watches it.
pub const JOB_HUNG: Entry = Entry {
    code: "job-hung",
    severity: Severity::Error,
    title: "A job is alive, but its heartbeat is dead",
    meaning: "The lock shows that the supervisor lives, but it has not touched the sentinel for so long \
              (jobs.dead_after) that nobody watches over the job: it hangs in a system call on a broken \
              disk, is stopped, or the machine hardly gives it time. Its time limit is not enforced.",
    done: "Nothing: an old heartbeat alone proves no death. The job counts as running, its repository stays \
           closed, and nothing starts in its place.",
    advice: "See with `why` what its processes do (state D waits for a disk, state T is stopped; `kill -CONT` \
             lets that go on). If it will not move again, cancel it; a supervisor that cannot answer must be \
             killed, then what is left of the job is ended by the cancellation.",
    next: Some("recoveryctl why {object}"),
};

/// A process of a job is stopped.
pub const JOB_STOPPED: Entry = Entry {
    code: "job-stopped",
    severity: Severity::Warning,
    title: "A running job is stopped",
    meaning: "Its supervisor or its command was stopped by a signal (SIGSTOP, SIGTSTP) or a debugger. It \
              lives and does nothing, or nobody watches over it.",
    done: "It counts as running: somebody may have stopped it on purpose. When its time limit is over, or a cancel is \
           recorded, the daemon lets a stopped supervisor go on (SIGCONT), and that ends it; a debugger that holds \
           it has to let go.",
    advice: "Let it go on with `kill -CONT PID`, or cancel it.",
    next: Some("recoveryctl why {object}"),
};

/// A command has ended and its supervisor did not see it.
pub const JOB_ZOMBIE: Entry = Entry {
    code: "job-zombie",
    severity: Severity::Warning,
    title: "A job's command has ended, and nobody took note",
    meaning: "The command is a zombie: it has ended, and its supervisor, which lives, has not asked how. \
              That is so for an instant at every end; when it stays so, the supervisor is stopped or hangs.",
    done: "Nothing: how it ended is told to its supervisor alone. The job counts as running until then.",
    advice: "Let the supervisor go on with `kill -CONT PID` if it is stopped; then the exit status is \
             recorded. If you kill it instead, the job is crashed and its exit status lost.",
    next: Some("recoveryctl why {object}"),
};

/// A command acts as another user.
pub const JOB_OTHER_USER: Entry = Entry {
    code: "job-other-user",
    severity: Severity::Warning,
    title: "A job's command acts as another user",
    meaning: "The process is the command that was started, but it acts as another user than it was started \
              as: the job has changed its user (su, sudo, setpriv).",
    done: "It counts as running. Whether it may be ended depends on who tries.",
    advice: "Nothing, if that is what the job is for. To end it, be root or that user.",
    next: Some("recoveryctl why {object}"),
};

/// A job was claimed, and its start does not finish.
pub const JOB_START_HANGS: Entry = Entry {
    code: "job-start-hangs",
    severity: Severity::Error,
    title: "A job was claimed, and its start does not come about",
    meaning: "The job counts as running, and no attempt of it was begun for more than a minute: its supervisor hangs \
              before the command, on a disk that does not answer, or is gone and nobody has judged the claim.",
    done: "Nothing runs twice: the claim stays until its supervisor is known to be gone. A daemon gives it back then.",
    advice: "See with `why` whether a supervisor lives and what it waits for. Ended, it leaves the claim to be given \
             back; without a daemon `recoveryctl recover` does so.",
    next: Some("recoveryctl why {object}"),
};

/// A supervisor cannot be started.
pub const JOB_START_FAILING: Entry = Entry {
    code: "job-start-failing",
    severity: Severity::Warning,
    title: "A job's supervisor does not come up",
    meaning: "The job was claimed several times in a row and each time its supervisor ended before it could \
              begin: the program is missing or cannot run, the disk is full or read-only, or there are too \
              many processes.",
    done: "Each claim was given back; it is tried again, each time later, up to jobs.start_tries times.",
    advice: "The sentence says what the supervisor said last; all of it is in daemon/supervisors.log.",
    next: Some("recoveryctl why {object}"),
};

/// A job was given up because no supervisor could be started for it.
pub const JOB_NOT_STARTED: Entry = Entry {
    code: "job-not-started",
    severity: Severity::Error,
    title: "A job could not be started",
    meaning: "No supervisor could come up for the job, as often as that may be tried (jobs.start_tries).",
    done: "The job is crashed, without an attempt of it ever having run. It is not tried again by itself.",
    advice: "Find the cause in daemon/supervisors.log and mend it, then resume the job.",
    next: Some("recoveryctl resume {name}"),
};

/// A cancel was recorded and the job has not ended.
pub const JOB_CANCEL_PENDING: Entry = Entry {
    code: "job-cancel-pending",
    severity: Severity::Warning,
    title: "A cancelled job has not ended",
    meaning: "A cancel is on record, and the job still lives although it had the time to end, and was killed \
              after that: its supervisor is stopped, hangs, or cannot be reached from here (another process \
              namespace, another user), or one of its processes cannot be ended.",
    done: "The cancel stays owed: the supervisor reads it in the log, and every process that watches the job (a daemon, a \
           recovery) reminds it again. The job counts as running, its repository stays closed.",
    advice: "See with `why` what lives of it and who watches it. If no daemon runs, start one or recover. A \
             supervisor that cannot move must be killed; what is left of the job is ended then.",
    next: Some("recoveryctl why {object}"),
};

/// A job was ended from outside, without a recorded request.
pub const JOB_INTERRUPTED: Entry = Entry {
    code: "job-interrupted",
    severity: Severity::Warning,
    title: "A job was interrupted",
    meaning: "Its processes were ended by a signal from outside (a shutdown, a logout, a stopped unit or container, \
              somebody with `kill`) and no cancel is on record. Whatever exit status its command still gave, the \
              work is not known to be done.",
    done: "What its policy for a crash says: it waits for `resume`, was queued again, or counts as failed. Its \
           checkpoint is kept and the next attempt goes on from it.",
    advice: "Nothing if it was queued again. Else resume it. To end a job for good, cancel it.",
    next: Some("recoveryctl jobs show {name}"),
};

/// A process of a job cannot be ended.
pub const JOB_CANNOT_END: Entry = Entry {
    code: "job-cannot-end",
    severity: Severity::Error,
    title: "A process of a job cannot be ended",
    meaning: "The job is to be over (its command has ended, it was cancelled, or its time is over), and a process of \
              it still lives after SIGKILL: it belongs to another user (sudo, a setuid program), it waits in the \
              kernel for a device or file system that does not answer (state D), or its control group is frozen.",
    done: "The job counts as running and its repository stays closed: whatever the process writes, it writes alone. \
           It is waited for, and the job ends as soon as it has gone.",
    advice: "End the process as a user who may (`sudo kill -KILL PID`), let the frozen group go on, or mend the \
             device. Nothing else needs to be done.",
    next: Some("recoveryctl why {object}"),
};

/// The queue calls a job running of which no process lives.
pub const JOB_PROCESSES_GONE: Entry = Entry {
    code: "job-processes-gone",
    severity: Severity::Error,
    title: "A job counts as running, and nothing of it lives",
    meaning: "The job's supervisor and processes are gone, as a look shows now, and nobody has settled the job since: no \
              daemon watches.",
    done: "Nothing: a look changes nothing. The job still counts as running, and keeps its repository.",
    advice: "Recover, or start a daemon, which does so first: the job is then crashed, or over where its end is on record.",
    next: Some("recoveryctl recover"),
};
