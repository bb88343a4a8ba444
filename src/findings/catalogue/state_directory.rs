//! Codes about the state directory: whether it can be written, its identity, and what in it belongs to no job.

use super::Entry;
use crate::findings::Severity;

/// The disk refuses to be written.
pub const DISK_NOT_WRITABLE: Entry = Entry {
    code: "disk-not-writable",
    severity: Severity::Error,
    title: "The disk of the state directory cannot be written",
    meaning: "It is full, a quota is reached, it is mounted read-only, or the device fails: what was tried, and \
              what the system said, is in the sentence.",
    done: "What can be read is shown, and may include records that never reached the disk. What could not be \
           written was left as it was; nothing was acknowledged that is not on disk.",
    advice: "Free room or make the disk writable, then recover: what was left undone is done then.",
    next: Some("recoveryctl recover"),
};

/// A folder, pipe or device in a state file's place.
pub const NO_STATE_FILE: Entry = Entry {
    code: "no-state-file",
    severity: Severity::Error,
    title: "Something that is no file had the name of a state file",
    meaning: "A folder, a pipe or a device stood where a file of the state directory belongs, so that the file \
              could be neither read nor written. This program makes none.",
    done: "It was moved to quarantine with all that is in it. What the file had said is taken from elsewhere, as \
           if the file had been lost.",
    advice: "Find out who put it there, and see whether anything in it is yours.",
    next: Some("recoveryctl status"),
};

/// `state.json` was lost or damaged.
pub const STATE_IDENTITY_REBUILT: Entry = Entry {
    code: "state-identity-rebuilt",
    severity: Severity::Warning,
    title: "The state directory's identity was rebuilt",
    meaning: "state.json, which names layout and id of the state directory, was lost or damaged.",
    done: "It was written anew with the id that the queue log bears; a damaged file is in quarantine.",
    advice: "Find out what removed or changed the file: no command of recoveryctl does.",
    next: Some("recoveryctl status"),
};

/// The directory is a copy.
pub const STATE_DIRECTORY_COPIED: Entry = Entry {
    code: "state-directory-copied",
    severity: Severity::Error,
    title: "The state directory is a copy of another one",
    meaning: "It was copied (cp, rsync, tar, a snapshot of the file system, from another machine), and the \
              folder that it was made in is another one. What runs, and what its locks and callbacks are for, \
              belongs to the original.",
    done: "It is only read: nothing is changed in it, no process is judged, signalled or adopted, nothing is \
           sent.",
    advice: "To look at it, nothing need be done. To work with it, make it a state directory of its own: it gets \
             a new id, its running jobs count as crashed, its fencing numbers rise above those of the original, \
             and its callbacks wait until they are retried.",
    next: Some("recoveryctl state adopt --as-new"),
};

/// The directory went back in time.
pub const STATE_DIRECTORY_RESTORED: Entry = Entry {
    code: "state-directory-restored",
    severity: Severity::Warning,
    title: "The state directory went back in time",
    meaning: "A backup was put back, or the directory was moved by copying it. What happened after the backup \
              was made is lost here: jobs that were submitted or ended since, locks that were granted.",
    done: "A new incarnation has begun. Fencing numbers go on above all that were given; no job starts while a \
           process of it from the time that is lost lives; exit records of that time are not taken.",
    advice: "Compare the list of jobs with what you know was submitted or done since the backup.",
    next: Some("recoveryctl state show"),
};

/// The state directory got a new layout.
pub const LAYOUT_MIGRATED: Entry = Entry {
    code: "layout-migrated",
    severity: Severity::Info,
    title: "The state directory was brought to the layout of this version",
    meaning: "An earlier version of recoveryctl made it.",
    done: "What the layout changes was taken over, record by record; nothing was lost. Earlier versions \
           refuse the state directory from now on.",
    advice: "Nothing, but see that all machines that share it have this version.",
    next: Some("recoveryctl startup cleanup-log"),
};

/// The files of a job's attempts are still where an earlier layout had them.
pub const ATTEMPTS_NOT_MOVED: Entry = Entry {
    code: "attempts-not-moved",
    severity: Severity::Warning,
    title: "What is kept about a job's attempts is still in its workspace",
    meaning: "Earlier versions of recoveryctl kept it there, where the job can change it. It could not be moved to \
              the folder attempts.",
    done: "It is read where it is. The next startup tries again, and the supervisor of the job's next attempt does.",
    advice: "Mend what the sentence names; then recover.",
    next: Some("recoveryctl recover"),
};

/// The audit trail cannot be read whole.
pub const AUDIT_DAMAGED: Entry = Entry {
    code: "audit-damaged",
    severity: Severity::Critical,
    title: "The audit trail is damaged",
    meaning: "Bytes of the audit trail are no record of it, entries are missing, or it cannot be read at all: \
              the disk, or somebody with an editor, changed it after it was synced.",
    done: "What can be read is shown, and new entries are written behind the damage. Nothing that is asked \
           for is held up by it.",
    advice: "Compare with a copy of the folder audit, and find out who could write there: a trail does not \
             change by itself.",
    next: Some("recoveryctl findings ack {id} --reason seen"),
};

/// Something is in quarantine.
pub const QUARANTINE_NOT_EMPTY: Entry = Entry {
    code: "quarantine-not-empty",
    severity: Severity::Info,
    title: "The quarantine holds files",
    meaning: "Unreadable files and cut bytes are kept in quarantine/, each with a note of where it came from \
              and why.",
    done: "Nothing is ever removed from there.",
    advice: "Look at the notes; remove the files yourself when you do not need them any more.",
    next: None,
};
