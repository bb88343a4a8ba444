//! Codes about the recovery itself: its phases, and its records.

use super::Entry;
use crate::findings::Severity;

/// A phase was skipped.
pub const PHASE_SKIPPED: Entry = Entry {
    code: "phase-skipped",
    severity: Severity::Warning,
    title: "A recovery phase was skipped",
    meaning: "An operator asked for it; the sentence says who and why.",
    done: "The phase did not run, or stopped where it was; what it would have found is not known.",
    advice: "Try the phase again when the reason is gone; that runs what waits for it, too.",
    next: Some("recoveryctl retry phase {name}"),
};

/// A phase needed several tries.
pub const PHASE_RETRIED: Entry = Entry {
    code: "phase-retried",
    severity: Severity::Warning,
    title: "A recovery phase needed more than one try",
    meaning: "A try failed with the error that the sentence names.",
    done: "It was tried again after a pause.",
    advice: "If it succeeded in the end, nothing; otherwise deal with the error and recover again.",
    next: Some("recoveryctl retry phase {name}"),
};

/// A phase failed in every try.
pub const PHASE_FAILED: Entry = Entry {
    code: "phase-failed",
    severity: Severity::Error,
    title: "A recovery phase failed",
    meaning: "Every try of the phase failed; the sentence gives the last error.",
    done: "What the phase looks after is marked degraded. After a critical phase nothing more was begun; \
           after any other the rest went on, also what waits for it.",
    advice: "Deal with the error, then recover again.",
    next: Some("recoveryctl retry phase {name}"),
};

/// A request to skip came too late.
pub const SKIP_TOO_LATE: Entry = Entry {
    code: "skip-too-late",
    severity: Severity::Info,
    title: "A request to skip a phase came too late",
    meaning: "The phase had ended when the request was read.",
    done: "Nothing: the phase's own outcome stands.",
    advice: "Nothing.",
    next: None,
};

/// Requests of other processes could not be read or taken away.
pub const RECOVERY_REQUESTS_UNREADABLE: Entry = Entry {
    code: "recovery-requests-unreadable",
    severity: Severity::Warning,
    title: "Requests to the recovery cannot be taken",
    meaning: "The folder recovery/requests, through which other processes ask to skip a phase, could not be \
              read or emptied.",
    done: "The recovery went on without listening.",
    advice: "Check permissions and the disk.",
    next: Some("recoveryctl status"),
};

/// The history of recoveries was damaged.
pub const RECOVERY_HISTORY_DAMAGED: Entry = Entry {
    code: "recovery-history-damaged",
    severity: Severity::Critical,
    title: "The record of past recoveries was damaged",
    meaning: "A file below recovery/ that tells of past recoveries cannot be understood.",
    done: "It was moved to quarantine and a new one begun. Nothing but the memory of those recoveries is \
           affected.",
    advice: "Check the disk.",
    next: Some("recoveryctl findings ack {id} --reason seen"),
};

/// The outcome of the recovery could not be written.
pub const RECOVERY_NOT_RECORDED: Entry = Entry {
    code: "recovery-not-recorded",
    severity: Severity::Warning,
    title: "The outcome of the recovery was not recorded",
    meaning: "The recovery ended, but its entry in the history could not be written.",
    done: "What it recovered stands; only the record of it is missing.",
    advice: "Check the disk for room and permissions.",
    next: Some("recoveryctl status"),
};

/// Progress could not be written.
pub const PROGRESS_NOT_WRITTEN: Entry = Entry {
    code: "progress-not-written",
    severity: Severity::Warning,
    title: "Progress of the recovery was not written",
    meaning: "recovery/current.json, from which other processes see the progress, could not be written.",
    done: "The recovery went on unseen.",
    advice: "Check the disk for room and permissions.",
    next: Some("recoveryctl status"),
};

/// A recovery is under way.
pub const RECOVERY_UNDER_WAY: Entry = Entry {
    code: "recovery-under-way",
    severity: Severity::Info,
    title: "A recovery is under way",
    meaning: "A daemon that starts, or a command, recovers this state directory at this moment.",
    done: "Its phases run; `recoveryctl recovery phases` shows how far they are.",
    advice: "Wait for its end.",
    next: None,
};

/// The last recovery did not finish.
pub const RECOVERY_UNFINISHED: Entry = Entry {
    code: "recovery-unfinished",
    severity: Severity::Error,
    title: "The last recovery did not do all that it was to do",
    meaning: "It failed in a critical phase, was cancelled, or its process was killed: what came after that was not \
              looked at.",
    done: "What its phases had done until then stays done.",
    advice: "Recover again. Beside a daemon that runs, try the phase again that failed.",
    next: Some("recoveryctl recover"),
};

/// Something cannot be used, and no finding of its own says why.
pub const RESOURCE_UNUSABLE: Entry = Entry {
    code: "resource-unusable",
    severity: Severity::Error,
    title: "A resource cannot be used",
    meaning: "The last recovery could not bring it back, and nobody has looked since whether it can be used.",
    done: "Everything else was recovered.",
    advice: "Deal with what the sentence says, then recover again.",
    next: Some("recoveryctl recover"),
};

/// The list of losses was damaged.
pub const LOSSES_DAMAGED: Entry = Entry {
    code: "losses-damaged",
    severity: Severity::Critical,
    title: "The list of what is lost was damaged",
    meaning: "recovery/losses.json, which tells what was lost and who has acknowledged it, could not be understood.",
    done: "It was copied to quarantine, and a new list begun with this as its first entry.",
    advice: "Look at the copy: what was lost before, and not acknowledged, is told by nothing else any more.",
    next: Some("recoveryctl findings ack {id} --reason seen"),
};
