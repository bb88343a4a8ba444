//! The catalogue of finding codes. A code, once published, keeps its meaning.

mod daemon;
mod live_jobs;

use serde::Serialize;

mod leftovers;

use super::finding::Severity;
use crate::state::suggest::closest;

mod webhooks;

pub use daemon::{DAEMON_EXPOSED, DAEMON_HANGS, DAEMON_LOOP_RESTARTED, HOST_CANNOT_START};
pub use leftovers::{
    CLEANUP_DAMAGED, CLEANUP_PARKED, CLEANUP_RESUMED, CLEANUP_WAITING, DOCKER_UNREACHABLE,
    MOUNT_IN_WORKSPACE, ORPHAN_FOUND, ORPHAN_UNKNOWN,
};
pub use live_jobs::{
    JOB_CANCEL_PENDING, JOB_CANNOT_END, JOB_HUNG, JOB_INTERRUPTED, JOB_NOT_STARTED, JOB_OTHER_USER,
    JOB_START_FAILING, JOB_START_HANGS, JOB_STOPPED, JOB_ZOMBIE,
};
pub use webhooks::*;

/// A kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Stable, in kebab-case.
    pub code: &'static str,
    /// How bad it usually is.
    pub severity: Severity,
    /// In a few words.
    pub title: &'static str,
    /// What it means and how it comes about.
    pub meaning: &'static str,
    /// What was done about it already.
    pub done: &'static str,
    /// What is left to do.
    pub advice: &'static str,
    /// The command that deals with it; see [`Finding::new`](super::Finding::new) for the placeholders.
    pub next: Option<&'static str>,
}

/// A record of the queue log does not match its checksum.
pub const LOG_RECORD_DAMAGED: Entry = Entry {
    code: "log-record-damaged",
    severity: Severity::Error,
    title: "A record of the queue log is damaged",
    meaning: "The bytes of a record in the middle of the log do not match its checksum: the disk, or \
              somebody with an editor, changed them after they were synced.",
    done: "The record was skipped, its bytes were kept in quarantine with the reason, and everything before \
           and behind it was used. What it said is taken from the snapshot or the job records where they \
           have it.",
    advice: "Compare the jobs near it with what you expect, and check the disk: a synced record does not \
             change by itself.",
    next: Some("recoveryctl queue wal"),
};

/// Sequence numbers are missing in the queue log.
pub const LOG_RECORDS_MISSING: Entry = Entry {
    code: "log-records-missing",
    severity: Severity::Critical,
    title: "Records of the queue log are missing",
    meaning: "The sequence numbers of the log have a gap: a segment was removed or cut, or a damaged place \
              swallowed several records.",
    done: "Replay went on behind the gap. Jobs whose submission lay in it were rebuilt from their job \
           records and workspaces where those exist.",
    advice: "Look for a copy of the missing segment; jobs submitted in the gap that left no other trace must \
             be submitted again.",
    next: Some("recoveryctl queue wal"),
};

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
    next: Some("recoveryctl jobs list"),
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

/// A job's readable record was damaged.
pub const JOB_RECORD_DAMAGED: Entry = Entry {
    code: "job-record-damaged",
    severity: Severity::Warning,
    title: "A job's record file is damaged",
    meaning: "jobs/<id>.job.json cannot be understood. It is a copy for people and for emergencies; the \
              queue has the truth.",
    done: "It was moved to quarantine and written anew from the queue or, if the queue does not know the \
           job, rebuilt from its workspace; the job then says that it was reconstructed.",
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

/// A job was rebuilt from its workspace.
pub const JOB_RECONSTRUCTED: Entry = Entry {
    code: "job-reconstructed",
    severity: Severity::Error,
    title: "A job was rebuilt from its workspace",
    meaning: "Neither the queue nor a record file knew the job any more; only files in its workspace told \
              of it: sentinel, command record, exit file, output, checkpoint, a git repository.",
    done: "The job is back as far as those files tell; the sentence says from what. What became of it was \
           found out as for every job. It is on hold if it did not end.",
    advice: "Look at it. What the files do not tell (variables, limits, callbacks, without a sentinel also \
             the command) is lost: submit the job again if it is needed.",
    next: Some("recoveryctl jobs show {name}"),
};

/// A job of which only a damaged record told.
pub const JOB_LOST: Entry = Entry {
    code: "job-lost",
    severity: Severity::Critical,
    title: "A job is lost",
    meaning: "A damaged record of the queue log named the job, and neither a snapshot, nor its own record, \
              nor a workspace tells of it: most likely it was waiting for its first attempt.",
    done: "The bytes of the damaged record are in quarantine; what can be read of the submission is there.",
    advice: "Submit it again. The name is as far as it could be read.",
    next: Some("recoveryctl jobs list"),
};

/// A file of a job that is over is damaged.
pub const JOB_FILE_DAMAGED: Entry = Entry {
    code: "job-file-damaged",
    severity: Severity::Warning,
    title: "A file in the workspace of a job that is over is damaged",
    meaning: "A sentinel, command record or exit file of the job cannot be understood. How the job ended is in \
              the queue; nothing is decided by these files any more.",
    done: "It was moved to quarantine.",
    advice: "Check the disk: these files are replaced whole, so a crash does not damage them.",
    next: Some("recoveryctl jobs show {name}"),
};

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
    advice: "Find out why it crashes before you resume it: its output and those of earlier attempts are in \
             its workspace.",
    next: Some("recoveryctl jobs output {name}"),
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

/// What runs was started before a backup was put back.
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

/// Something runs that no job of the queue can be told of.
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

/// What runs under a lock was started before a backup was put back.
pub const LOCK_OF_OTHER_INCARNATION: Entry = Entry {
    code: "lock-of-other-incarnation",
    severity: Severity::Warning,
    title: "A command runs under a lock that another incarnation of the state directory granted",
    meaning: "A backup of the state directory was put back, or the directory was replaced, while a command of \
              `recoveryctl lock` worked on this repository. The files that were put back do not tell of its lock.",
    done: "It is left alone. The repository is not granted, and its jobs wait, until it has ended.",
    advice: "Wait for it, or end it by hand (kill): the finding names the PIDs.",
    next: Some("recoveryctl why {object}"),
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

/// The supervisor is gone, the command is not.
pub const JOB_ORPHANED_PROCESS: Entry = Entry {
    code: "job-orphaned-process",
    severity: Severity::Warning,
    title: "A job runs without its supervisor",
    meaning: "The supervisor is gone, but the command or one of its children is alive.",
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

/// A pause would last longer than it was made for.
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

/// A job ended while nobody watched.
pub const JOB_FINISHED_WHILE_AWAY: Entry = Entry {
    code: "job-finished-while-away",
    severity: Severity::Info,
    title: "A job ended while no daemon was there",
    meaning: "Its supervisor wrote how it ended but could not record it in the queue.",
    done: "The end was recorded with the exit status and time of the exit file.",
    advice: "Nothing.",
    next: Some("recoveryctl jobs show {name}"),
};

/// A lock's holder is gone.
pub const LOCK_HOLDER_GONE: Entry = Entry {
    code: "lock-holder-gone",
    severity: Severity::Info,
    title: "The holder of a repository lock was gone",
    meaning: "The process that held the lock, and everything it started, is provably gone; it did not give \
              the lock back.",
    done: "The lock was given back and its fencing number raised, so that a late holder is recognised.",
    advice: "Check the repository for work that was left half done.",
    next: Some("recoveryctl locks inspect {name}"),
};

/// The audit trail cannot be read whole.
pub const AUDIT_DAMAGED: Entry = Entry {
    code: "audit-damaged",
    severity: Severity::Error,
    title: "The audit trail is damaged",
    meaning: "Bytes of the audit trail are no record of it, entries are missing, or it cannot be read at all: \
              the disk, or somebody with an editor, changed it after it was synced.",
    done: "What can be read is shown, and new entries are written behind the damage. Nothing that is asked \
           for is held up by it.",
    advice: "Compare with a copy of the folder audit, and find out who could write there: a trail does not \
             change by itself.",
    next: Some("recoveryctl audit"),
};

/// A lock is kept closed because its holder is unknown.
pub const LOCK_UNAVAILABLE: Entry = Entry {
    code: "lock-unavailable",
    severity: Severity::Error,
    title: "A repository is unavailable",
    meaning: "It cannot be told whether the holder of its lock is alive: the metadata is damaged, another \
              machine wrote it, or the file system does not lock.",
    done: "The lock is kept; jobs of this repository wait, all others run. A damaged file is in quarantine.",
    advice: "Look at the evidence. Damaged metadata is mended by: recoveryctl repair locks. Once you know that \
             nobody works on the repository, release it with --force.",
    next: Some("recoveryctl why {object}"),
};

/// A lock survived with its job.
pub const LOCK_KEPT: Entry = Entry {
    code: "lock-kept",
    severity: Severity::Info,
    title: "A repository lock was kept",
    meaning: "The daemon that granted it is gone, but its holder is alive.",
    done: "The lock stays with its holder until that ends.",
    advice: "Nothing.",
    next: Some("recoveryctl locks inspect {name}"),
};

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
    next: Some("recoveryctl startup history"),
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

/// A phase was passed over.
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
    severity: Severity::Warning,
    title: "The record of past recoveries was damaged",
    meaning: "A file below recovery/ that tells of past recoveries cannot be understood.",
    done: "It was moved to quarantine and a new one begun. Nothing but the memory of those recoveries is \
           affected.",
    advice: "Check the disk.",
    next: None,
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

/// A job file of the other server is damaged.
pub const IMPORT_JOB_FILE_DAMAGED: Entry = Entry {
    code: "import-job-file-damaged",
    severity: Severity::Error,
    title: "A job file of the imported workspace is damaged",
    meaning: "The other server's job file is empty, cut or no JSON.",
    done: "A copy is in quarantine, the original is untouched. What its folder tells was taken over.",
    advice: "Restore the file from a backup and import again; what was imported already is not changed.",
    next: None,
};

/// A job folder of the other server has no job file.
pub const IMPORT_JOB_DIRECTORY_WITHOUT_RECORD: Entry = Entry {
    code: "import-job-directory-without-record",
    severity: Severity::Warning,
    title: "A job folder of the imported workspace has no job file",
    meaning: "The other server left the folder of a job whose file is gone.",
    done: "The folder is untouched; no job was made of it, since nothing says what was to be run.",
    advice: "Look into the folder for work that is worth keeping.",
    next: None,
};

/// A job of the other server was being prepared.
pub const IMPORT_STAGING_LEFT: Entry = Entry {
    code: "import-staging-left",
    severity: Severity::Info,
    title: "The imported workspace holds staged files",
    meaning: "The other server was preparing files for a job when it crashed.",
    done: "They are untouched.",
    advice: "Upload them again with the job if it is resumed.",
    next: None,
};

/// A PID of the other server belongs to another process now.
pub const IMPORT_PID_REUSED: Entry = Entry {
    code: "import-pid-reused",
    severity: Severity::Info,
    title: "The PID of an imported job belongs to another process",
    meaning: "The job's process is gone and its number was given to a process that has nothing to do with \
              it: it started later, or runs something else.",
    done: "The job counts as crashed; the other process was not touched.",
    advice: "Resume the job if it is wanted.",
    next: Some("recoveryctl resume {name}"),
};

/// A job of the other server was not taken over, for what it needs could not be seen.
pub const IMPORT_JOB_LEFT_OUT: Entry = Entry {
    code: "import-job-left-out",
    severity: Severity::Error,
    title: "A job of the imported workspace was left out",
    meaning: "Its job file, its output or its process may not be looked at by this user, so nobody can tell \
              whether it runs.",
    done: "Nothing was taken over for it and nothing was changed.",
    advice: "Import again as the user that owns the workspace, or as root: the other jobs are not changed.",
    next: None,
};

/// Job files of the other server contradict each other about an id.
pub const IMPORT_JOB_ID_DIFFERS: Entry = Entry {
    code: "import-job-id-differs",
    severity: Severity::Warning,
    title: "A job file of the imported workspace has another id than its name",
    meaning: "The file was renamed or copied: the id inside is not the one in its name, its name cannot be an \
              id, or two names differ only in upper and lower case.",
    done: "The name of the file counts as the id. Of two files with one id the one in lower case was taken \
           over; a copy of the other is in quarantine.",
    advice: "Compare the files and submit again what is missing.",
    next: None,
};

/// A process of the other server lives although its job is over or has no record.
pub const IMPORT_PROCESS_ALIVE: Entry = Entry {
    code: "import-process-alive",
    severity: Severity::Error,
    title: "A process of the imported workspace still lives",
    meaning: "The script of a job runs although its job file says that it is over, or is missing, or the \
              process could not be ended.",
    done: "The process was not touched, or withstood; the sentence tells which.",
    advice: "Look at the process, and end it or let it finish.",
    next: None,
};

/// Every entry, in the order in which they are listed.
pub const ALL: &[&Entry] = &[
    &LOG_RECORD_DAMAGED,
    &LOG_RECORDS_MISSING,
    &LOG_TORN_TAIL,
    &LOG_RECORD_REFUSED,
    &SNAPSHOT_DAMAGED,
    &QUEUE_REBUILT_FROM_JOB_RECORDS,
    &STATE_IDENTITY_REBUILT,
    &JOB_RECORD_DAMAGED,
    &JOB_RECORD_MISSING,
    &JOB_RECONSTRUCTED,
    &JOB_LOST,
    &JOB_FILE_DAMAGED,
    &JOB_CRASHED,
    &JOB_ATTEMPTS_EXHAUSTED,
    &JOB_LIVENESS_UNKNOWN,
    &BOOT_IDENTITY_DIFFERS,
    &JOB_OF_OTHER_INCARNATION,
    &UNKNOWN_JOB_LIVES,
    &LOCK_OF_OTHER_INCARNATION,
    &STATE_DIRECTORY_COPIED,
    &STATE_DIRECTORY_RESTORED,
    &JOB_ORPHANED_PROCESS,
    &JOB_HEARTBEAT_STALE,
    &JOB_HUNG,
    &JOB_STOPPED,
    &JOB_ZOMBIE,
    &JOB_OTHER_USER,
    &JOB_CANCEL_PENDING,
    &JOB_CANNOT_END,
    &JOB_INTERRUPTED,
    &JOB_START_FAILING,
    &JOB_START_HANGS,
    &JOB_NOT_STARTED,
    &CLOCK_SKEW,
    &SENTINEL_DAMAGED,
    &JOB_FINISHED_WHILE_AWAY,
    &LOCK_HOLDER_GONE,
    &LOCK_UNAVAILABLE,
    &AUDIT_DAMAGED,
    &LOCK_KEPT,
    &STARTUP_ABORTED,
    &TEMPORARY_FILES_REMOVED,
    &LEFTOVERS_NOT_REMOVED,
    &STARTUP_LOG_DAMAGED,
    &LAYOUT_MIGRATED,
    &SAFE_MODE,
    &PHASE_SKIPPED,
    &PHASE_RETRIED,
    &DISK_NOT_WRITABLE,
    &JOB_RECORD_NOT_WRITTEN,
    &NO_STATE_FILE,
    &PHASE_FAILED,
    &SKIP_TOO_LATE,
    &RECOVERY_REQUESTS_UNREADABLE,
    &RECOVERY_HISTORY_DAMAGED,
    &RECOVERY_NOT_RECORDED,
    &PROGRESS_NOT_WRITTEN,
    &QUARANTINE_NOT_EMPTY,
    &IMPORT_JOB_FILE_DAMAGED,
    &IMPORT_JOB_DIRECTORY_WITHOUT_RECORD,
    &IMPORT_STAGING_LEFT,
    &IMPORT_PID_REUSED,
    &IMPORT_JOB_LEFT_OUT,
    &IMPORT_JOB_ID_DIFFERS,
    &IMPORT_PROCESS_ALIVE,
    &WEBHOOK_PARKED,
    &WEBHOOK_REFUSED,
    &WEBHOOK_CIRCUIT_OPEN,
    &WEBHOOK_INTERRUPTED,
    &WEBHOOK_LOG_DAMAGED,
    &WEBHOOK_RECORD_REFUSED,
    &WEBHOOK_NOBODY_DELIVERS,
    &CLEANUP_PARKED,
    &CLEANUP_WAITING,
    &CLEANUP_DAMAGED,
    &CLEANUP_RESUMED,
    &ORPHAN_FOUND,
    &ORPHAN_UNKNOWN,
    &DOCKER_UNREACHABLE,
    &MOUNT_IN_WORKSPACE,
    &DAEMON_EXPOSED,
    &DAEMON_LOOP_RESTARTED,
    &HOST_CANNOT_START,
    &DAEMON_HANGS,
    &CLOCK_WAS_AHEAD,
];

/// The entry of a code.
#[must_use]
pub fn find(code: &str) -> Option<&'static Entry> {
    ALL.iter().find(|e| e.code == code).copied()
}

/// The code that may have been meant by one that does not exist.
#[must_use]
pub fn suggest(code: &str) -> Option<&'static str> {
    let written = code.to_ascii_lowercase().replace(['_', ' '], "-");
    let contained = || ALL.iter().map(|e| e.code).find(|c| written.len() > 3 && c.contains(&written));
    closest(&written, ALL.iter().map(|e| e.code)).or_else(contained)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_listed_once_and_whole() {
        let sources = [
            include_str!("catalogue.rs"),
            include_str!("catalogue/daemon.rs"),
            include_str!("catalogue/leftovers.rs"),
            include_str!("catalogue/live_jobs.rs"),
            include_str!("catalogue/webhooks.rs"),
        ];
        let count = |source: &str| source.matches(": Entry = Entry {").count();
        let defined = sources.map(count).iter().sum::<usize>() - 1; // The line above.
        assert_eq!(ALL.len(), defined);
        for entry in ALL {
            let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(entry.code.chars().all(kebab), "{}", entry.code);
            assert_eq!(find(entry.code), Some(*entry), "{} is there twice", entry.code);
            for text in [entry.title, entry.meaning, entry.done, entry.advice] {
                assert!(text.len() > 7 && !text.contains("  "), "{}: {text}", entry.code);
            }
        }
    }

    #[test]
    fn slips_are_understood() {
        assert_eq!(suggest("lock-holder-gon"), Some("lock-holder-gone"));
        assert_eq!(suggest("LOCK_KEPT"), Some("lock-kept"));
        assert_eq!(suggest("torn"), Some("log-torn-tail"));
        assert_eq!(suggest("weather"), None);
    }
}
