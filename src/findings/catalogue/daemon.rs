//! Codes about a daemon that runs.

use super::Entry;
use crate::findings::Severity;

/// Other machines can reach the daemon.
pub const DAEMON_EXPOSED: Entry = Entry {
    code: "daemon-exposed",
    severity: Severity::Warning,
    title: "The daemon listens on an address that other machines can reach",
    meaning: "Its address (daemon.listen, or --listen) is not one of this machine alone. HTTP here is not \
              encrypted: anybody who can listen on the way reads the token, and with the admin token can do \
              everything.",
    done: "Nothing: it was asked for. Every request must show a token, and its Host must be an address or one \
           of daemon.hosts.",
    advice: "Let it listen on 127.0.0.1 and reach it through SSH, or put a proxy with TLS before it. If the \
             tokens may be known, rotate them.",
    next: Some("recoveryctl token rotate"),
};

/// A token of the daemon is not trusted, so that no one can use it.
pub const TOKEN_NOT_BELIEVED: Entry = Entry {
    code: "token-not-believed",
    severity: Severity::Warning,
    title: "A token of the daemon is not believed",
    meaning: "The file of a token is not as the daemon made it: it is gone, belongs to another user, others may \
              read or write it, it is a link or has a second name, or another user can change its folder or one \
              above it. The user who did that may know the token, or have chosen it.",
    done: "Nobody is admitted with it; the unix socket is not affected. The file was left as it is. A daemon that \
           starts makes a new token in its place.",
    advice: "Find out who changed the file: no command of recoveryctl does. Then make a new token and give it to \
             those who use it.",
    next: Some("recoveryctl token rotate {name}"),
};

/// Nothing can be started on this host.
pub const HOST_CANNOT_START: Entry = Entry {
    code: "host-cannot-start",
    severity: Severity::Error,
    title: "No job is started: the host cannot start any",
    meaning: "What every job needs could not be had: the program of recoveryctl or its libraries, /dev/null, a \
              process or memory for it, a descriptor, a log that can be written; or supervisors of several \
              different jobs in a row left before they began.",
    done: "Claims were given back and count against no job. The queue waits; one start is tried after pauses \
           that grow to 30 s, and when it comes about all goes on by itself.",
    advice: "Put right what the sentence names: bring the program back, raise the limit of processes or open \
             files, free memory or disk. daemon/supervisors.log has what supervisors said.",
    next: Some("recoveryctl status"),
};

/// A daemon that lives and does nothing.
pub const DAEMON_HANGS: Entry = Entry {
    code: "daemon-hangs",
    severity: Severity::Error,
    title: "The daemon lives, and its loop does not turn",
    meaning: "The daemon writes down every few seconds that its loop turns, by a clock that nobody can set. It has \
              not done so for long: it hangs in a system call on a broken disk, or was stopped.",
    done: "Nothing: jobs that run are their supervisors' and go on. No other job is started, no delivery and no \
           cleanup is sure to be done. Under systemd its watchdog ends it and starts another.",
    advice: "See what it waits for (`cat /proc/PID/stack`, state D or T in `ps`); let a stopped one go on with `kill \
             -CONT PID`. End one that does not move with SIGTERM, then SIGKILL: no file is harmed. Start it again.",
    next: Some("recoveryctl status"),
};

/// A loop of the daemon broke off and was begun again.
pub const DAEMON_LOOP_RESTARTED: Entry = Entry {
    code: "daemon-loop-restarted",
    severity: Severity::Error,
    title: "A loop of the daemon broke off and was begun again",
    meaning: "The loop that starts and watches jobs, delivers and cleans up met something that it was not made \
              for, and panicked. That is a fault of this program.",
    done: "The queue was read anew and the loop begun again, after a pause that grows. Jobs that run are their \
           supervisors': they went on.",
    advice: "The daemon's output says where it broke off: report it. If it comes again and again, restart the \
             daemon, then look at what it worked on.",
    next: Some("recoveryctl status"),
};

/// Jobs wait or run, and no daemon runs or watches them.
pub const JOBS_UNWATCHED: Entry = Entry {
    code: "jobs-unwatched",
    severity: Severity::Error,
    title: "Jobs wait or run, and no daemon runs or watches them",
    meaning: "The queue has jobs that wait, or that run, and no daemon lives that would start them or see their end. A \
              job that runs goes on under its supervisor, which records its end.",
    done: "Nothing: a look starts no process.",
    advice: "Start the daemon, as your system starts it (`systemctl start recoveryctl`), or by hand. Where processes of \
             jobs are gone, a recovery settles those jobs first.",
    next: Some("recoveryctl daemon"),
};
