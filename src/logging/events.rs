//! The kinds of events. To add one, add a line to the table.

use uuid::Uuid;

/// Names in this space make the `MESSAGE_ID`s.
const SPACE: Uuid = Uuid::from_u128(0x6f1c_2f0e_8d4b_4c57_9a3e_52c7_71b0_e94d);

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// What it is called in the field `event`.
    pub name: &'static str,
    /// When such an event comes.
    pub meaning: &'static str,
}

impl Kind {
    /// The journal's `MESSAGE_ID`, made of the name: the same in every version.
    pub fn message_id(self) -> Uuid {
        message_id(self.name)
    }
}

/// The journal's `MESSAGE_ID` for a name.
pub fn message_id(name: &str) -> Uuid {
    Uuid::new_v5(&SPACE, name.as_bytes())
}

macro_rules! kinds {
    ($($constant:ident = $name:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $constant: &str = $name;)*

        /// All kinds.
        pub const ALL: &[Kind] = &[$(Kind { name: $name, meaning: $meaning }),*];
    };
}

kinds! {
    DAEMON_READY = "daemon-ready", "A daemon takes jobs.";
    SAFE_MODE = "safe-mode", "A daemon is up in safe mode and starts no job.";
    DAEMON_ENDS = "daemon-ends", "A daemon ends: it was told to, or cannot go on.";
    LOOP_RESTARTED = "loop-restarted", "A loop of the daemon broke off and was begun again.";
    LISTENING = "listening", "An address or socket that was to be served is not.";
    CONFIGURATION_READ = "configuration-read", "The configuration was read anew.";
    CONFIGURATION_REFUSED = "configuration-refused", "A new configuration cannot be used; the old one stays.";
    REQUEST = "request", "An HTTP request was answered.";
    REQUEST_FAILED = "request-failed", "An HTTP request could not be answered: the fault is the daemon's.";
    JOB_SUBMITTED = "job-submitted", "A job is in the queue.";
    JOB_STARTED = "job-started", "A job was claimed and its supervisor started.";
    JOB_ENDED = "job-ended", "A job ended, however it ended but by a crash.";
    JOB_CRASHED = "job-crashed", "A job vanished without an exit status.";
    JOB_RETURNED = "job-returned", "A claimed job is back in the queue: nothing was begun.";
    JOB_JUDGED = "job-judged", "A running job was judged: alive, or nobody can say.";
    JOB_ORPHANED = "job-orphaned", "A job lives without its supervisor.";
    JOB_CANCELLED = "job-cancelled", "The end of a running job is owed, and its supervisor is reminded.";
    JOB_REMOVED = "job-removed", "Jobs that are over were removed.";
    STARTS_HELD = "starts-held", "The host cannot start jobs; none is started.";
    STARTS_RESUMED = "starts-resumed", "Jobs are started again.";
    COMMAND_STARTED = "command-started", "A supervisor has started the job's command.";
    COMMAND_ENDED = "command-ended", "A job's command, and all that it left behind, has ended.";
    ATTEMPT_RETURNED = "attempt-returned", "A supervisor left without having begun its attempt.";
    ATTEMPT_INTERRUPTED = "attempt-interrupted", "A command is being ended: cancelled, out of time, or from outside.";
    LOCK_GRANTED = "lock-granted", "A repository lock was granted.";
    LOCK_RELEASED = "lock-released", "A repository lock was given back.";
    LOCK_REFUSED = "lock-refused", "A repository lock was not granted.";
    LOCK_RECOVERED = "lock-recovered", "A lock that a dead holder left was given back.";
    RECOVERY_BEGAN = "recovery-began", "A recovery began.";
    RECOVERY_ENDED = "recovery-ended", "A recovery ended.";
    PHASE_BEGAN = "phase-began", "A phase of the recovery began.";
    PHASE_ENDED = "phase-ended", "A phase of the recovery ended.";
    PHASE_RETRIED = "phase-retried", "A phase of the recovery failed and is tried again.";
    FINDING = "finding", "Something was found that an operator should know; `finding_code` says what.";
    DELIVERED = "delivered", "A webhook delivery arrived.";
    DELIVERY_RETRIED = "delivery-retried", "A delivery did not arrive and is tried again.";
    DELIVERY_PARKED = "delivery-parked", "A delivery did not arrive; an operator has to say what comes.";
    CIRCUIT_OPENED = "circuit-opened", "An endpoint fails again and again and is left alone for a while.";
    CIRCUIT_CLOSED = "circuit-closed", "An endpoint answers again.";
    CLEANUP_ENDED = "cleanup-ended", "A cleanup is done.";
    CLEANUP_RETRIED = "cleanup-retried", "A cleanup failed, and is tried again or waits for an operator.";
    ORPHANS_SCANNED = "orphans-scanned", "A look for orphaned files, containers and processes ended.";
    NOTE = "note", "What an operation of a client tells besides its report.";
    TROUBLE = "trouble", "An error that is worked around; while it lasts, lines are left out and counted.";
    TROUBLE_OVER = "trouble-over", "What failed works again.";
    LINES_LOST = "lines-lost", "Nobody took lines of this log; so many were left out.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_of_kinds_are_distinct_and_ids_stay() {
        let names: BTreeSet<_> = ALL.iter().map(|kind| kind.name).collect();
        let ids: BTreeSet<_> = ALL.iter().map(|kind| kind.message_id()).collect();
        assert_eq!((names.len(), ids.len()), (ALL.len(), ALL.len()));
        assert_eq!(message_id(JOB_STARTED).to_string(), JOB_STARTED_ID);
    }

    /// Other people's journals and alerts use this id.
    const JOB_STARTED_ID: &str = "486c8521-ce94-5fbe-8291-4f31b1fd8ee1";
}
