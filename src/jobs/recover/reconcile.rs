//! Reconciles running jobs, many at once: all locks of a batch are held until one transaction has recorded
//! the batch.

use std::ffi::OsString;
use std::time::Duration;

use super::policy::{RequeuePauses, after_crash, after_failed_start, given_back_for_host};
use crate::archive::KeepRules;
use crate::durable::seeded_bug::SeededBug;
use crate::durable::{DiskError, FileLock, LockError, is_not_regular};
use crate::jobs::cgroup_name;
use crate::jobs::evidence::{FirstSight, judge, judge_locked, take_or_judge};
use crate::jobs::judgement::{JudgeContext, Judgement, blank};
use crate::jobs::keeper;
use crate::jobs::layout_2::move_attempts_of;
use crate::jobs::process_table::ProcessTable;
use crate::jobs::sentinel::FreshnessLimits;
use crate::jobs::traces::real_output;
use crate::jobs::verdict::Verdict;
use crate::logging::last_of_supervisor;
use crate::queue::{
    Actor, AfterCrash, AttemptOutcome, Claim, End, EndedBy, Job, JobId, JobStatus, Operation, Queue,
    QueueError, QueueState,
};
use crate::state::{JobPaths, StateDir, Timestamp};
use crate::system::parallel_map;
use crate::system::{Host, LocalDevice};

/// How many jobs are judged with their locks held at the same time: each lock takes a descriptor.
const BATCH: std::ops::RangeInclusive<u64> = 64..=4096;
/// Processes that only read a lock hold it for less than this.
const LOOK_GRACE: Duration = Duration::from_millis(50);
/// The reason of a crash without other evidence.
const VANISHED: &str = "its processes vanished without an exit record: its exit status is unknown";

/// The reason of the end of an attempt that was under way in a backup.
const RESTORED: &str = "restored: it ran when the backup was made that was put back; how it ended belongs to the time that was lost";

/// Settings of a recovery of jobs.
#[derive(Debug, Clone)]
pub struct RecoverSettings {
    /// The actor of the records.
    pub actor: Actor,
    /// The ages from which on a heartbeat is old.
    pub limits: FreshnessLimits,
    /// The time between SIGTERM and SIGKILL for processes that are ended on request.
    pub kill_grace: Duration,
    /// What the process that watches a job does when only its supervisor was killed.
    pub on_orphan: OnUnsupervised,
    /// After so many failed starts in a row a job is not started any more.
    pub start_tries: u32,
    /// What is blamed when a claim's supervisor could not be started.
    pub blame: Blame,
    /// How long a crashed job rests before its next attempt.
    pub requeue: RequeuePauses,
    /// Program and first arguments of a keeper of a job's output, to which `--job ID` is appended, for a job that
    /// has lost its keeper. When it is empty, output of such a job waits in the pipe.
    pub keeper: Vec<OsString>,
    /// The rules for keeping the git work of jobs that are removed.
    pub keep: KeepRules,
}

/// What is blamed for a failed start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Blame {
    /// The job, unless several jobs that are judged together failed alike.
    #[default]
    Job,
    /// The host: nothing can be started, and no failed start is counted.
    Host,
}

/// What is done about an unsupervised job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnsupervised {
    /// The job is watched until it ends; its exit status is lost.
    #[default]
    Adopt,
    /// The job's processes are ended, and the job is crashed.
    End,
}

/// How often a start is tried in a row, unless configured otherwise.
const START_TRIES: u32 = 10;

impl RecoverSettings {
    /// With the usual limits.
    pub fn new(actor: Actor) -> RecoverSettings {
        RecoverSettings {
            actor,
            limits: FreshnessLimits::default(),
            kill_grace: Duration::from_secs(10),
            on_orphan: OnUnsupervised::Adopt,
            start_tries: START_TRIES,
            blame: Blame::default(),
            requeue: RequeuePauses::default(),
            keeper: Vec::new(),
            keep: KeepRules::default(),
        }
    }
}

/// Why nothing could be recorded. Earlier results stay recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The queue could not be read or changed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The result for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reconciliation {
    /// It lives and is watched.
    Reattached,
    /// It had ended; the end is recorded now.
    FinishedWhileAway {
        exit_code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
    },
    /// It vanished; that is recorded now, with what follows.
    Crashed {
        /// By the job's policy.
        then: AfterCrash,
    },
    /// It had never started: its claim was given back.
    GivenBack,
    /// No supervisor could be started for it, as often as that is tried: it is crashed.
    NotStarted,
    /// Neither life nor death can be proven: nothing is recorded.
    Unknown {
        /// The missing evidence.
        why: String,
    },
    /// Another process recorded something about it in the meantime.
    Overtaken,
}

impl Reconciliation {
    /// The word for it in reports.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Reconciliation::Reattached => "reattached",
            Reconciliation::FinishedWhileAway { .. } => "finished_while_away",
            Reconciliation::Crashed { .. } => "crashed",
            Reconciliation::GivenBack => "given_back",
            Reconciliation::NotStarted => "not_started",
            Reconciliation::Unknown { .. } => "unknown",
            Reconciliation::Overtaken => "overtaken",
        }
    }
}

/// A judged job, with the result.
#[derive(Debug, Clone)]
pub struct Reconciled {
    pub job_id: JobId,
    pub attempt: u32,
    /// What was done.
    pub reconciliation: Reconciliation,
    pub judgement: Judgement,
    /// Damaged files of it that are in quarantine now.
    pub quarantined: Vec<std::path::PathBuf>,
}

/// Judges running jobs and records the ends of those that are provably over. Jobs that are not running are
/// skipped. `progress` is called after each batch with the number judged and in all, and says whether to go
/// on: a batch is recorded whole, and the rest is left to the next call.
///
/// # Errors
/// When the queue cannot be changed; an error with one job's files is that job's `Unknown`.
pub(crate) fn reconcile(
    dir: &StateDir,
    queue: &mut Queue,
    ids: &[JobId],
    settings: &RecoverSettings,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Vec<Reconciled>, RecoverError> {
    queue.refresh()?;
    let mut reconciled = Vec::with_capacity(ids.len());
    let mut looked_at = 0;
    for batch in ids.chunks(batch()) {
        reconciled.extend(reconcile_batch(dir, queue, batch, settings)?);
        looked_at += batch.len();
        if !progress(looked_at as u64, ids.len() as u64) {
            break;
        }
    }
    Ok(reconciled)
}

/// The results that [`reconcile`] would have for every running job, by a first look. Changes nothing.
pub(crate) fn would_reconcile(
    dir: &StateDir,
    state: &QueueState,
    settings: &RecoverSettings,
) -> Vec<Reconciled> {
    let (host, table) = (Host::this(), ProcessTable::new());
    let look = JudgeContext { dir, host: &host, table: &table, limits: settings.limits };
    let now = dir.clock.now();
    let running = state.running().map(|job| {
        let judgement = judge(&look, job);
        let (reconciliation, _) = reconciliation_of(dir, job, &judgement, now, settings);
        let (job_id, attempt) = (job.id.clone(), job.attempt);
        Reconciled { job_id, attempt, reconciliation, judgement, quarantined: Vec::new() }
    });
    running.collect()
}

/// The size of a batch: half of the descriptors that this process may have. The other half is for everything
/// else.
fn batch() -> usize {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = most.unwrap_or(*BATCH.end()) / 2;
    usize::try_from(half.clamp(*BATCH.start(), *BATCH.end())).unwrap_or(64)
}

/// A job under judgement, with its lock when that was free at first.
struct Case<'a> {
    job: &'a Job,
    judgement: Judgement,
    lock: Option<FileLock>,
}

impl<'a> Case<'a> {
    /// Judges by the lock first, which alone decides about most living jobs. A free lock is taken before anything
    /// else is examined, so that the evidence stays true.
    fn begin(look: &JudgeContext<'_>, job: &'a Job, local: &LocalDevice) -> Case<'a> {
        let (seen, lock) = take_or_judge(look, job, local, LOOK_GRACE);
        if let FirstSight::Judged(judgement) = seen {
            return Case { job, judgement: *judgement, lock: None };
        }
        let (verdict, lock) = match lock.map_or_else(|| lock_job(look.dir, &job.id), Ok) {
            Ok(lock) => (Verdict::NeverStarted, Some(lock)),
            // A supervisor, or another recovery, took the lock first.
            Err(LockError::Held { .. }) => (Verdict::Unidentified, None),
            Err(LockError::Disk(e)) => (Verdict::Unknown { why: format!("{e}: {}", e.source) }, None),
        };
        Case { judgement: blank(job, verdict), job, lock }
    }

    /// The decisive judgement, with the lock held and a scan of all processes made after it was taken.
    fn look_again(&mut self, look: &JudgeContext<'_>) {
        if self.lock.is_some() {
            self.judgement = judge_locked(look, self.job);
        }
    }

    fn decide(self, dir: &StateDir, now: Timestamp, settings: &RecoverSettings) -> Decided {
        let Case { job, judgement, lock } = self;
        let (reconciliation, operation) = reconciliation_of(dir, job, &judgement, now, settings);
        Decided { reconciliation, operation, judgement, lock }
    }
}

/// The decision about a job, whose lock is held until the decision is recorded.
struct Decided {
    reconciliation: Reconciliation,
    operation: Option<Operation>,
    judgement: Judgement,
    lock: Option<FileLock>,
}

/// Takes a job's lock exclusively; makes the lock file, and its folder, when they do not exist.
pub(crate) fn lock_job(dir: &StateDir, id: &JobId) -> Result<FileLock, LockError> {
    let paths = dir.paths.job(&id.to_string()).map_err(|e| DiskError {
        action: "lock",
        path: dir.paths.jobs(),
        source: std::io::Error::other(e),
    })?;
    if dir.paths.may_be_in_workspaces() {
        // Move the files first: otherwise the new folder would hold a lock and nothing else, and the output must
        // outlive the workspace.
        move_attempts_of(dir, id)?;
    }
    let paths = dir.paths.job(&id.to_string()).unwrap_or(paths);
    dir.ensure_attempts(&paths)?;
    match FileLock::acquire(&dir.disk, &paths.sentinel_lock(), LOOK_GRACE) {
        Err(LockError::Disk(e)) if is_not_regular(&e.source) => {
            put_away_what_is_no_lock(dir, &paths)?;
            FileLock::acquire(&dir.disk, &paths.sentinel_lock(), LOOK_GRACE)
        }
        locked => locked,
    }
}

/// Moves something that has the name of a job's lock but is no regular file to quarantine, because it cannot be
/// locked. The job's processes then show whether it lives, as when its lock was removed.
pub(in crate::jobs) fn put_away_what_is_no_lock(dir: &StateDir, paths: &JobPaths) -> Result<(), DiskError> {
    let at = dir.clock.now().to_string();
    match dir.quarantine().take_other(&paths.sentinel_lock(), "it is no lock", &at) {
        // Another process moved it first.
        Err(e) if e.is_not_found() => Ok(()),
        taken => taken.map(drop),
    }
}

fn reconcile_batch(
    dir: &StateDir,
    queue: &mut Queue,
    ids: &[JobId],
    settings: &RecoverSettings,
) -> Result<Vec<Reconciled>, RecoverError> {
    let host = Host::this();
    let table = ProcessTable::new();
    let look = JudgeContext { dir, host: &host, table: &table, limits: settings.limits };
    let local = LocalDevice::default();
    let jobs = ids.iter().filter_map(|id| queue.state().get(id));
    let running: Vec<&Job> = jobs.filter(|job| job.status == JobStatus::Running).collect();
    let cases = parallel_map(running, |job| Case::begin(&look, job, &local));
    // No question has needed the table so far: the scan is made while all locks are held.
    let now = dir.clock.now();
    let looked_at = parallel_map(cases, |mut case| {
        case.look_again(&look);
        case
    });
    let never_started =
        looked_at.iter().filter(|case| case.judgement.verdict == Verdict::NeverStarted).count();
    let mut settings = settings.clone();
    if never_started > 1 {
        // When a second, different job fails in the same way, the jobs are not the cause.
        settings.blame = Blame::Host;
    }
    let mut decided = parallel_map(looked_at, |case| case.decide(dir, now, &settings));
    record(queue, &mut decided, &settings.actor)?;
    // The locks are released only after this, so that damaged files are moved while no process writes them.
    Ok(parallel_map(decided, |decided| {
        let quarantined = quarantine(dir, &decided);
        remove_cgroup(dir, &decided);
        keep_output_of(dir, &decided, &table, &settings.keeper);
        let Decided { reconciliation, judgement, .. } = decided;
        let (job_id, attempt) = (judgement.job_id.clone(), judgement.attempt);
        Reconciled { job_id, attempt, reconciliation, judgement, quarantined }
    }))
}

/// Appends the records, in one transaction, for every job whose state has not changed.
fn record(queue: &mut Queue, decided: &mut [Decided], actor: &Actor) -> Result<(), QueueError> {
    if decided.iter().all(|one| one.operation.is_none()) {
        return Ok(());
    }
    queue.transact(actor, |state| {
        let mut operations = Vec::with_capacity(decided.len());
        for one in decided {
            let Some(operation) = one.operation.take() else { continue };
            let Judgement { job_id, claim, .. } = &one.judgement;
            let is_unchanged = state
                .get(job_id)
                .is_some_and(|now| now.status == JobStatus::Running && now.run_state().claim == *claim);
            if is_unchanged {
                operations.push(operation);
            } else {
                one.reconciliation = Reconciliation::Overtaken;
            }
        }
        (operations, ())
    })?;
    Ok(())
}

/// The decision about a running job.
pub(super) fn reconciliation_of(
    dir: &StateDir,
    job: &Job,
    judgement: &Judgement,
    now: Timestamp,
    settings: &RecoverSettings,
) -> (Reconciliation, Option<Operation>) {
    let (reconciliation, operation) = reconciled_as(dir, job, judgement, now, settings);
    // Keep the evidence in the record: it is gone by the time an operator asks.
    let operation = operation.map(|operation| match operation {
        Operation::End(end)
            if matches!(end.outcome, AttemptOutcome::Crashed | AttemptOutcome::Interrupted) =>
        {
            let pieces = judgement.evidence.iter().map(|e| format!("{}: {}", e.kind, e.detail));
            Operation::End(End { evidence: pieces.collect(), ..end })
        }
        other => other,
    });
    (reconciliation, operation)
}

fn reconciled_as(
    dir: &StateDir,
    job: &Job,
    judgement: &Judgement,
    now: Timestamp,
    settings: &RecoverSettings,
) -> (Reconciliation, Option<Operation>) {
    let claim = job.run_state().claim.unwrap_or_default();
    let then = after_crash(job, now, settings.requeue);
    let crashed = |reason| match interruption(job, judgement) {
        Some(by) => interrupted(job, claim, by, then),
        None => crashed(job, claim, reason, then),
    };
    match &judgement.verdict {
        Verdict::Unknown { why } => (Reconciliation::Unknown { why: why.clone() }, None),
        Verdict::Ended(_) if SeededBug::IgnoreExitRecord.is_on() => {
            crashed("its processes vanished without an exit record")
        }
        Verdict::Ended(exit) if exit.outcome == AttemptOutcome::Interrupted => {
            let end = End { claim, attempt: job.attempt, after_crash: Some(then), ..exit.to_end() };
            (Reconciliation::Crashed { then }, Some(Operation::End(end)))
        }
        Verdict::Ended(exit) => {
            let (exit_code, signal) = (exit.exit_code, exit.signal);
            let end = End { claim, attempt: job.attempt, ..exit.to_end() };
            (Reconciliation::FinishedWhileAway { exit_code, signal }, Some(Operation::End(end)))
        }
        Verdict::NeverStarted if settings.blame == Blame::Host => {
            let why = why_not_started(dir, &job.id);
            (Reconciliation::GivenBack, Some(given_back_for_host(job, &why)))
        }
        Verdict::NeverStarted => {
            let why = why_not_started(dir, &job.id);
            let operation = after_failed_start(job, &why, now, settings.start_tries);
            let is_over = matches!(operation, Operation::End(_));
            (if is_over { Reconciliation::NotStarted } else { Reconciliation::GivenBack }, Some(operation))
        }
        Verdict::Crashed if is_restored(dir, claim) => crashed(RESTORED),
        Verdict::Crashed => crashed(VANISHED),
        Verdict::DeadByReboot => crashed("the machine was started anew while it ran"),
        _ => (Reconciliation::Reattached, None),
    }
}

/// Whether the attempt was begun before the restored backup was made.
fn is_restored(dir: &StateDir, claim: Claim) -> bool {
    dir.past.restored.as_ref().is_some_and(|restored| claim <= Claim::of_record(restored.log_end))
}

/// The signal that was ending the attempt when its supervisor last wrote its sentinel.
fn interruption<'a>(job: &Job, judgement: &'a Judgement) -> Option<&'a EndedBy> {
    let own =
        judgement.sentinel.whole().filter(|s| s.job_id == job.id && Some(s.claim) == job.run_state().claim);
    own?.interrupted.as_ref()
}

fn interrupted(
    job: &Job,
    claim: Claim,
    by: &EndedBy,
    then: AfterCrash,
) -> (Reconciliation, Option<Operation>) {
    let reason = format!("interrupted by {}; its supervisor was killed before it ended", by.by);
    let (reconciliation, operation) = crashed(job, claim, &reason, then);
    let operation = operation.map(|operation| match operation {
        Operation::End(end) => {
            Operation::End(End { outcome: AttemptOutcome::Interrupted, ended_by: Some(by.clone()), ..end })
        }
        other => other,
    });
    (reconciliation, operation)
}

/// The reason in words, with its supervisor's last message, if there is one.
fn why_not_started(dir: &StateDir, id: &JobId) -> String {
    last_of_supervisor(dir, id).map_or_else(
        || "its supervisor never started it".to_owned(),
        |said| format!("its supervisor never started it; it said: {said}"),
    )
}

pub(super) fn crashed(
    job: &Job,
    claim: Claim,
    reason: &str,
    then: AfterCrash,
) -> (Reconciliation, Option<Operation>) {
    let end = End {
        job: job.id.clone(),
        attempt: job.attempt,
        claim,
        outcome: AttemptOutcome::Crashed,
        exit_code: None,
        signal: None,
        ended_at: None,
        reason: Some(reason.to_owned()),
        after_crash: Some(then),
        started_at: None,
        ended_by: None,
        by_itself: false,
        evidence: Vec::new(),
    };
    (Reconciliation::Crashed { then }, Some(Operation::End(end)))
}

/// Puts damaged files into quarantine: they are moved when the attempt is over, and copied otherwise, because the
/// attempt may still write them, and their presence is evidence. A file that cannot be kept stays in place.
fn quarantine(dir: &StateDir, decided: &Decided) -> Vec<std::path::PathBuf> {
    let Decided { judgement, lock, .. } = decided;
    if judgement.damaged.is_empty() {
        return Vec::new();
    }
    let is_over = decided.is_over();
    let Ok(paths) = dir.paths.job(&judgement.job_id.to_string()) else { return Vec::new() };
    let (quarantine, at) = (dir.quarantine(), dir.clock.now().to_string());
    let kept = judgement.damaged.iter().filter_map(|name| {
        let file = paths.attempts.join(name);
        let reason = "cannot be understood";
        let kept = match lock {
            Some(_) if is_over => quarantine.take_file(&file, reason, &at),
            _ => quarantine.keep_file(&file, reason, &at),
        };
        kept.ok()
    });
    kept.collect()
}

/// Starts a keeper for an unsupervised job that may have lost the keeper of its output too.
fn keep_output_of(dir: &StateDir, decided: &Decided, table: &ProcessTable, program: &[OsString]) {
    let Judgement { verdict, job_id, sentinel, .. } = &decided.judgement;
    let pipe = sentinel.whole().and_then(|s| s.output_pipe);
    let is_orphan = matches!(verdict, Verdict::OrphanedProcess { .. });
    if let Some(pipe) = pipe.filter(|_| is_orphan && !program.is_empty())
        && let Ok(paths) = dir.paths.job(&job_id.to_string())
    {
        // If this fails, the next reconciliation tries again: output waits in the pipe.
        let printing = || {
            let output = real_output(&paths, &table.real_root(dir.paths.root()));
            table.printing_into(&dir.paths.as_known(&output), pipe)
        };
        let _ = keeper::reattach(&dir.disk, job_id, &paths, pipe, printing, program);
    }
}

/// Removes the control group of an attempt that is over, because its supervisor could not.
fn remove_cgroup(dir: &StateDir, decided: &Decided) {
    let sentinel = decided.judgement.sentinel.whole();
    let sentinel = sentinel.filter(|_| decided.is_over() && decided.lock.is_some());
    let group = sentinel.and_then(|s| cgroup_name::recorded(dir, s.claim, s.cgroup.as_deref()));
    if let Some(group) = group {
        // A group that is left is empty, and costs nothing.
        let _ = group.remove();
    }
}

impl Decided {
    fn is_over(&self) -> bool {
        matches!(
            self.reconciliation,
            Reconciliation::Crashed { .. } | Reconciliation::FinishedWhileAway { .. }
        )
    }
}
