//! Records what became of running jobs, many at once: all locks of a batch are held until one
//! transaction has recorded the batch.

use std::time::Duration;

use super::policy::{RequeuePauses, after_crash};
use crate::durable::mutation::Mutation;
use crate::durable::{DiskError, FileLock, LockError};
use crate::jobs::evidence::{Judgement, Look, judge, judge_locked};
use crate::jobs::process_table::ProcessTable;
use crate::jobs::sentinel::FreshnessLimits;
use crate::jobs::verdict::{Liveness, Verdict};
use crate::queue::{Actor, AfterCrash, End, Job, JobId, JobStatus, Operation, Outcome, Queue, QueueError};
use crate::state::StateDir;
use crate::system::Host;

/// Jobs that are judged with their locks held at the same time: each takes a descriptor.
pub(super) const BATCH: usize = 256;
/// Those who only look hold the lock for less than this.
const LOOK_GRACE: Duration = Duration::from_millis(50);

/// Who recovers, and by which limits.
#[derive(Debug, Clone)]
pub struct RecoverSettings {
    /// Who records.
    pub actor: Actor,
    /// When a heartbeat is old.
    pub limits: FreshnessLimits,
    /// Between SIGTERM and SIGKILL for processes that are ended on request.
    pub kill_grace: Duration,
    /// How long a crashed job rests before its next attempt.
    pub requeue: RequeuePauses,
}

impl RecoverSettings {
    /// With the usual limits.
    #[must_use]
    pub fn new(actor: Actor) -> RecoverSettings {
        RecoverSettings {
            actor,
            limits: FreshnessLimits::default(),
            kill_grace: Duration::from_secs(10),
            requeue: RequeuePauses::default(),
        }
    }
}

/// Why nothing could be recorded. What was judged before stays recorded.
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

/// What was done about a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It lives: it is watched on.
    Reattached,
    /// It had ended; the end is recorded now.
    FinishedWhileAway {
        /// Exit status.
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
    /// Neither life nor death can be proven: nothing is recorded.
    Unknown {
        /// What is missing.
        why: String,
    },
    /// Somebody else recorded something about it meanwhile.
    Overtaken,
}

impl Settlement {
    /// In one word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Settlement::Reattached => "reattached",
            Settlement::FinishedWhileAway { .. } => "finished_while_away",
            Settlement::Crashed { .. } => "crashed",
            Settlement::GivenBack => "given_back",
            Settlement::Unknown { .. } => "unknown",
            Settlement::Overtaken => "overtaken",
        }
    }
}

/// A job that was judged, and what was done about it.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Which job.
    pub job_id: JobId,
    /// Which attempt.
    pub attempt: u32,
    /// What was done.
    pub settlement: Settlement,
    /// Why.
    pub judgement: Judgement,
    /// Damaged files of it that are in quarantine now.
    pub quarantined: Vec<std::path::PathBuf>,
}

/// Judges running jobs and records what became of those that are provably over. Jobs that are not
/// running are passed over.
///
/// # Errors
/// When the queue cannot be changed; what one job's files refuse is that job's `Unknown`.
pub fn settle(
    dir: &StateDir,
    queue: &mut Queue,
    ids: &[JobId],
    settings: &RecoverSettings,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Settled>, RecoverError> {
    queue.refresh()?;
    let host = Host::this();
    let first_table = ProcessTable::new();
    let mut settled = Vec::with_capacity(ids.len());
    for batch in ids.chunks(BATCH) {
        let jobs: Vec<Job> = batch.iter().filter_map(|id| queue.state().get(id)).cloned().collect();
        let first = Look { dir, host: &host, table: &first_table, limits: settings.limits };
        let running = jobs.into_iter().filter(|job| job.status == JobStatus::Running);
        let cases = running.map(|job| Case::begin(&first, job)).collect();
        settled.extend(settle_batch(dir, queue, cases, settings)?);
        progress(settled.len().min(ids.len()) as u64, ids.len() as u64);
    }
    progress(ids.len() as u64, ids.len() as u64);
    Ok(settled)
}

/// A job under judgement, with its lock when its death was likely at first sight.
struct Case {
    job: Job,
    judgement: Judgement,
    lock: Option<FileLock>,
}

impl Case {
    fn begin(look: &Look<'_>, job: Job) -> Case {
        let judgement = judge(look, &job);
        let mut case = Case { job, judgement, lock: None };
        if case.judgement.liveness() == Liveness::Dead && case.job.course().adopted.is_none() {
            case.take_lock(look.dir);
        }
        case
    }

    fn take_lock(&mut self, dir: &StateDir) {
        match lock_job(dir, &self.job.id) {
            Ok(lock) => self.lock = Some(lock),
            // A supervisor, or another recovery, was faster.
            Err(LockError::Held { .. }) => self.judgement.verdict = Verdict::Unidentified,
            Err(LockError::Disk(e)) => {
                self.judgement.verdict = Verdict::Unknown { why: format!("{e}: {}", e.source) };
            }
        }
    }

    /// The second look, with the lock held and a new picture of all processes.
    fn look_again(&mut self, look: &Look<'_>) {
        if self.lock.is_some() {
            self.judgement = judge_locked(look, &self.job);
        }
    }
}

/// Takes a job's lock exclusively; makes workspace and lock file when they are not there.
pub(in crate::jobs) fn lock_job(dir: &StateDir, id: &JobId) -> Result<FileLock, LockError> {
    let paths = dir.paths.job(&id.to_string()).map_err(|e| DiskError {
        action: "lock",
        path: dir.paths.jobs(),
        source: std::io::Error::other(e),
    })?;
    dir.disk.ensure_dir(&paths.workspace)?;
    FileLock::acquire(&dir.disk, &paths.sentinel_lock(), LOOK_GRACE)
}

fn settle_batch(
    dir: &StateDir,
    queue: &mut Queue,
    mut cases: Vec<Case>,
    settings: &RecoverSettings,
) -> Result<Vec<Settled>, RecoverError> {
    let host = Host::this();
    let table = ProcessTable::new();
    let look = Look { dir, host: &host, table: &table, limits: settings.limits };
    cases.iter_mut().for_each(|case| case.look_again(&look));
    let now = dir.clock.now();
    let settlement = |c: &Case| settlement_of(&c.job, &c.judgement.verdict, now, settings.requeue);
    let wanted: Vec<_> = cases.iter().map(settlement).collect();
    let settlements = record(queue, &cases, wanted, &settings.actor)?;
    // The locks go only after this: damaged files are moved while nobody writes them.
    let settled = cases.into_iter().zip(settlements).map(|(case, settlement)| {
        let quarantined = quarantine(dir, &case, &settlement);
        let Case { job, judgement, .. } = case;
        Settled { job_id: job.id, attempt: job.attempt, settlement, judgement, quarantined }
    });
    Ok(settled.collect())
}

/// Appends what is to be recorded, in one transaction, for every job that is still where it was.
fn record(
    queue: &mut Queue,
    cases: &[Case],
    wanted: Vec<(Settlement, Option<Operation>)>,
    actor: &Actor,
) -> Result<Vec<Settlement>, QueueError> {
    if wanted.iter().all(|(_, operation)| operation.is_none()) {
        return Ok(wanted.into_iter().map(|(settlement, _)| settlement).collect());
    }
    let (_, settlements) = queue.transact(actor, |state| {
        let mut operations = Vec::new();
        let settlements = cases.iter().zip(wanted).map(|(case, (settlement, operation))| {
            let Some(operation) = operation else { return settlement };
            let is_unchanged = state.get(&case.job.id).is_some_and(|now| {
                now.status == JobStatus::Running && now.course().claim == case.job.course().claim
            });
            if !is_unchanged {
                return Settlement::Overtaken;
            }
            operations.push(operation);
            settlement
        });
        let settlements = settlements.collect();
        (operations, settlements)
    })?;
    Ok(settlements)
}

/// What is to be recorded about a running job.
pub(super) fn settlement_of(
    job: &Job,
    verdict: &Verdict,
    now: crate::state::Timestamp,
    requeue: RequeuePauses,
) -> (Settlement, Option<Operation>) {
    let claim = job.course().claim.unwrap_or(0);
    let crashed = |reason| crashed(job, claim, reason, after_crash(job, now, requeue));
    match verdict {
        Verdict::Unknown { why } => (Settlement::Unknown { why: why.clone() }, None),
        Verdict::Ended(_) if Mutation::IgnoreExitRecord.is_on() => {
            crashed("its processes vanished without an exit record")
        }
        Verdict::Ended(exit) => {
            let (exit_code, signal) = (exit.exit_code, exit.signal);
            let end = End { claim, attempt: job.attempt, ..exit.to_end() };
            (Settlement::FinishedWhileAway { exit_code, signal }, Some(Operation::End(end)))
        }
        Verdict::NeverStarted => {
            let not_before = pause_after_give_backs(job).map(|ms| now.plus_millis(ms));
            let reason = NEVER_STARTED.to_owned();
            let unclaim = Operation::Unclaim { job: job.id.clone(), claim, reason, not_before };
            (Settlement::GivenBack, Some(unclaim))
        }
        Verdict::Crashed => crashed("its processes vanished without an exit record"),
        Verdict::DeadByReboot => crashed("the machine was started anew while it ran"),
        _ => (Settlement::Reattached, None),
    }
}

fn crashed(job: &Job, claim: u64, reason: &str, then: AfterCrash) -> (Settlement, Option<Operation>) {
    let end = End {
        job: job.id.clone(),
        attempt: job.attempt,
        claim,
        outcome: Outcome::Crashed,
        exit_code: None,
        signal: None,
        ended_at: None,
        reason: Some(reason.to_owned()),
        after_crash: Some(then),
    };
    (Settlement::Crashed { then }, Some(Operation::End(end)))
}

/// Damaged files go to quarantine: moved when the attempt is over, else copied: it may still write them,
/// and that they are there is evidence. One that cannot be kept stays where it is.
fn quarantine(dir: &StateDir, case: &Case, settlement: &Settlement) -> Vec<std::path::PathBuf> {
    let is_over = matches!(settlement, Settlement::Crashed { .. } | Settlement::FinishedWhileAway { .. });
    let Ok(paths) = dir.paths.job(&case.job.id.to_string()) else { return Vec::new() };
    let (quarantine, at) = (dir.quarantine(), dir.clock.now().to_string());
    let kept = case.judgement.damaged.iter().filter_map(|name| {
        let file = paths.workspace.join(name);
        let reason = "cannot be understood";
        let kept = match case.lock {
            Some(_) if is_over => quarantine.take_file(&file, reason, &at),
            _ => quarantine.keep_file(&file, reason, &at),
        };
        kept.ok()
    });
    kept.collect()
}
/// The reason of a claim that came to nothing.
const NEVER_STARTED: &str = "its supervisor never started it";

/// Once may be a server's crash between the claim and the start: then the job goes back to its place at
/// once. Again and again it is the supervisor that cannot start (too few open files, say), and without a
/// pause claims and give-backs would fill the log. Milliseconds.
fn pause_after_give_backs(job: &Job) -> Option<i64> {
    let history = job.course().history.iter().rev();
    // The present claim, and the one before that came to nothing, and so on.
    let turns = history.filter(|t| t.status != JobStatus::Running);
    let before = turns.take_while(|t| t.reason.as_deref() == Some(NEVER_STARTED)).count();
    (before > 0).then(|| 5_000 << (before - 1).min(6))
}
