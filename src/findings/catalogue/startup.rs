//! Codes about startups: those that died, and what they left.

use super::Entry;
use crate::findings::Severity;

/// The startup before this one did not end.
pub const STARTUP_ABORTED: Entry = Entry {
    code: "startup-aborted",
    severity: Severity::Warning,
    title: "The startup before this one was aborted",
    meaning: "A startup or recovery wrote its marker and vanished in the phase that the sentence names.",
    done: "It was entered in the history; the interrupted phase and those behind it ran again.",
    advice: "If it happens again in the same phase, read that phase's findings.",
    next: Some("recoveryctl startup detection"),
};

/// Leftovers were removed.
pub const TEMPORARY_FILES_REMOVED: Entry = Entry {
    code: "temporary-files-removed",
    severity: Severity::Info,
    title: "Temporary files of a crash were removed",
    meaning: "The process that was writing them was killed before it renamed them into place.",
    done: "Those that nobody has open were removed. The files that they were to replace are whole.",
    advice: "Nothing.",
    next: None,
};

/// Leftovers could not be looked at or removed.
pub const LEFTOVERS_NOT_REMOVED: Entry = Entry {
    code: "leftovers-not-removed",
    severity: Severity::Error,
    title: "What a crash left could not be looked at or removed",
    meaning: "The system refused: permissions were changed, or the disk is read-only or damaged.",
    done: "The folder or file was left as it is; everything else was cleaned.",
    advice: "Give the folder back to the user that recoveryctl runs as, then try the phase again.",
    next: Some("recoveryctl retry phase startup"),
};

/// Records of past startups cannot be read.
pub const STARTUP_LOG_DAMAGED: Entry = Entry {
    code: "startup-log-damaged",
    severity: Severity::Warning,
    title: "A record of past startups is damaged",
    meaning: "Bytes of the startup log do not match their checksum, or a file of an earlier layout cannot be \
              understood. Nothing but memory is lost.",
    done: "They are in quarantine; what could be read was kept.",
    advice: "Check the disk: a synced record does not change by itself.",
    next: Some("recoveryctl findings ack {id} --reason seen"),
};

/// Several startups in a row died.
pub const SAFE_MODE: Entry = Entry {
    code: "safe-mode",
    severity: Severity::Error,
    title: "Several startups in a row died: no job is started",
    meaning: "Three startups within ten minutes were cut short. To go on by itself would most likely kill the \
              next one too.",
    done: "A daemon comes up, recovers nothing and starts no job. Jobs that run go on; jobs can be submitted.",
    advice: "Find out why the named phase kills its process (memory, a damaged disk), then try that phase \
             again: when it and what waits for it come to their end, all goes on. Or clear the startups, \
             when you know that the cause is gone.",
    next: Some("recoveryctl startup clear"),
};
