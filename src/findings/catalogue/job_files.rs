//! Codes about the files of jobs: damaged, lost, reconstructed from one another.

use super::Entry;
use crate::findings::Severity;

/// The readable form of a job could not be written.
pub const JOB_RECORD_NOT_WRITTEN: Entry = Entry {
    code: "job-record-not-written",
    severity: Severity::Warning,
    title: "The record of a job could not be written",
    meaning: "jobs/ID.job.json is made from the queue, for readers and as the last resort when the queue's own \
              files are lost. The system refused to write it.",
    done: "The queue itself is whole and was used; the record is written by the next recovery.",
    advice: "Deal with what the system said: free room, or clear away what has the file's name.",
    next: Some("recoveryctl recover"),
};

/// A job's readable record was damaged.
pub const JOB_RECORD_DAMAGED: Entry = Entry {
    code: "job-record-damaged",
    severity: Severity::Warning,
    title: "A job's record file is damaged",
    meaning: "jobs/<id>.job.json cannot be understood. It is a copy for people and for emergencies; the \
              queue has the truth.",
    done: "It was moved to quarantine and written anew from the queue or, if the queue does not know the \
           job, rebuilt from its files; the job then says that it was reconstructed.",
    advice: "Look at the job if it was reconstructed.",
    next: Some("recoveryctl jobs show {name}"),
};

/// A workspace has no job.
pub const JOB_RECORD_MISSING: Entry = Entry {
    code: "job-record-missing",
    severity: Severity::Warning,
    title: "A job's record file was gone",
    meaning: "jobs/<id>.job.json, the readable copy of what the queue knows of a job, was not there.",
    done: "It was written anew from the queue. Nothing is lost.",
    advice: "Nothing, unless it happens again: then find out who removes files below jobs/.",
    next: Some("recoveryctl jobs show {name}"),
};

/// A job was reconstructed from its files.
pub const JOB_RECONSTRUCTED: Entry = Entry {
    code: "job-reconstructed",
    severity: Severity::Critical,
    title: "A job was rebuilt from its files",
    meaning: "Neither the queue nor a record file knew the job any more; only attempts/<id>/ and its workspace told \
              of it: sentinel, command record, exit file, output, checkpoint, a git repository.",
    done: "The job is back as far as those files tell; the sentence says from what. What became of it was \
           found out as for every job. It is on hold if it did not end.",
    advice: "Look at it. What the files do not tell (variables, limits, callbacks, without a sentinel also \
             the command) is lost: submit the job again if it is needed.",
    next: Some("recoveryctl findings ack {id} --reason seen"),
};

/// A job is lost, of which only a damaged record was left.
pub const JOB_LOST: Entry = Entry {
    code: "job-lost",
    severity: Severity::Critical,
    title: "A job is lost",
    meaning: "A damaged record of the queue log named the job, and neither a snapshot, nor its own record, \
              nor a file tells of it: most likely it was waiting for its first attempt.",
    done: "The bytes of the damaged record are in quarantine; what can be read of the submission is there.",
    advice: "Submit it again. The name is as far as it could be read.",
    next: Some("recoveryctl findings ack {id} --reason seen"),
};

/// A file of a job that is over is damaged.
pub const JOB_FILE_DAMAGED: Entry = Entry {
    code: "job-file-damaged",
    severity: Severity::Warning,
    title: "A file of a job that is over is damaged",
    meaning: "A sentinel, command record or exit file of the job cannot be understood. How the job ended is in \
              the queue; nothing is decided by these files any more.",
    done: "It was moved to quarantine.",
    advice: "Check the disk: these files are replaced whole, so a crash does not damage them.",
    next: Some("recoveryctl jobs show {name}"),
};

/// A sentinel cannot be read.
pub const SENTINEL_DAMAGED: Entry = Entry {
    code: "sentinel-damaged",
    severity: Severity::Warning,
    title: "A job's sentinel is damaged",
    meaning: "sentinel.json, which tells who runs the job, is empty or cannot be understood.",
    done: "It was copied to quarantine. Whether the job lives was decided by the lock its supervisor holds \
           and by the processes that bear its mark.",
    advice: "Look at the job if its liveness is unknown.",
    next: Some("recoveryctl jobs show {name}"),
};
