//! Codes about the queue: its log, its snapshots.

use super::Entry;
use crate::findings::Severity;

/// A record of the queue log does not match its checksum.
pub const LOG_RECORD_DAMAGED: Entry = Entry {
    code: "log-record-damaged",
    severity: Severity::Critical,
    title: "A record of the queue log is damaged",
    meaning: "The bytes of a record in the middle of the log do not match its checksum: the disk, or \
              somebody with an editor, changed them after they were synced.",
    done: "The record was skipped, its bytes were kept in quarantine with the reason, and everything before \
           and behind it was used. What it said is taken from the snapshot or the job records where they \
           have it.",
    advice: "Compare the jobs near it with what you expect, and check the disk: a synced record does not \
             change by itself.",
    next: Some("recoveryctl findings ack {id} --reason seen"),
};

/// Sequence numbers are missing in the queue log.
pub const LOG_RECORDS_MISSING: Entry = Entry {
    code: "log-records-missing",
    severity: Severity::Critical,
    title: "Records of the queue log are missing",
    meaning: "The sequence numbers of the log have a gap: a segment was removed or cut, or a damaged place \
              swallowed several records.",
    done: "Replay went on behind the gap. Jobs whose submission lay in it were rebuilt from their job \
           records and their files where those exist.",
    advice: "Look for a copy of the missing segment; jobs submitted in the gap that left no other trace must \
             be submitted again.",
    next: Some("recoveryctl findings ack {id} --reason seen"),
};

/// The log ended in the middle of a record.
pub const LOG_TORN_TAIL: Entry = Entry {
    code: "log-torn-tail",
    severity: Severity::Info,
    title: "The queue log ended in the middle of a record",
    meaning: "Somebody was killed while writing, or the power failed. Such a record was never acknowledged.",
    done: "The half record was cut off; a copy of its bytes is in quarantine.",
    advice: "Nothing: this is what a crash leaves. A `submit` that was under way then gave no id: submit again.",
    next: None,
};

/// A record is whole but does not fit the state it meets.
pub const LOG_RECORD_REFUSED: Entry = Entry {
    code: "log-record-refused",
    severity: Severity::Warning,
    title: "A record of the queue log had no effect",
    meaning: "The record is whole, but what it asks for is impossible where it stands: the end of a claim \
              that is not the current one, or a record about a job that is not known.",
    done: "It was passed over; the job stayed as it was.",
    advice: "If records are missing or damaged as well, deal with those first. Which job the record is about, who \
             wrote it and what came before it is in the audit trail, with --json under the record's number \
             ('seq'). The next recovery does not read it again.",
    next: Some("recoveryctl audit --all"),
};

/// A snapshot cannot be read.
pub const SNAPSHOT_DAMAGED: Entry = Entry {
    code: "snapshot-damaged",
    severity: Severity::Warning,
    title: "A snapshot of the queue is damaged",
    meaning: "The snapshot does not match its checksum, or cannot be understood.",
    done: "It was moved to quarantine. The snapshot before it, or the whole log, was used instead, so \
           nothing is lost by this alone.",
    advice: "Check the disk. A new snapshot is written at the next checkpoint.",
    next: Some("recoveryctl queue status"),
};

/// Neither snapshot nor log could give the queue back.
pub const QUEUE_REBUILT_FROM_JOB_RECORDS: Entry = Entry {
    code: "queue-rebuilt-from-job-records",
    severity: Severity::Critical,
    title: "The queue was rebuilt from the job records",
    meaning: "Neither a snapshot nor the log was usable. The readable records jobs/<id>.job.json, which are \
              written from the queue, were the best copy left.",
    done: "Every job that has such a record is back, in the order of its submission. Jobs that were never \
           started may have had none.",
    advice: "Compare the list with what was submitted last, and submit again what is missing.",
    next: Some("recoveryctl findings ack {id} --reason seen"),
};
