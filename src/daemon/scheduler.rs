//! The loop of a scheduler: starts supervisors for queued jobs, watches running jobs, writes checkpoints.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limits::Limits;
use super::occupied::Occupied;
use super::retention::Retainer;
use super::starts::Starts;
use super::supervisors::Supervisors;
use super::told::{Told, tell_judgement};
use super::unsupervised::{Unsupervised, time_left};
use super::watch::Watch;
use super::wishes::Wishes;
use crate::cleanup::{CleanupSettings, Derived};
use crate::durable::log::LogError;
use crate::durable::{DiskError, FileLock, Holder, Taken, error_chain};
use crate::jobs::record::{self, RecordError};
use crate::jobs::{
    Blame, JudgeContext, ProcessTable, Reconciled, Reconciliation, RecoverError, RecoverSettings, Verdict,
    reconcile, remind,
};
use crate::locks::{self, LockOutcome};
use crate::logging::Repeats;
use crate::prune::JobRetention;
use crate::queue::{Claim, JobId, JobStatus, Queue, QueueError};
use crate::recovery::liveness_of;
use crate::state::StateDir;
use crate::system::Host;

/// A process that only looks whether a lock is held holds it for less than this.
const LOOK_GRACE: Duration = Duration::from_millis(20);

/// How a scheduler works.
#[derive(Debug, Clone)]
pub struct SchedulerSettings {
    /// How many jobs run at a time.
    pub workers: usize,
    /// Program and first arguments of a supervisor; `--job ID --claim SEQ` is appended.
    pub supervisor: Vec<OsString>,
    /// All variables that supervisors, and through them jobs, inherit.
    pub environment: Vec<(OsString, OsString)>,
    /// Only these jobs are started; all when empty.
    pub only: BTreeSet<JobId>,
    /// The longest time between two looks.
    pub poll: Duration,
    /// Records since the last snapshot that make a new one due.
    pub checkpoint_records: u64,
    /// Time since the last snapshot that makes a new one due, if there are new records.
    pub checkpoint_interval: Duration,
    /// The actor of the records, and the limits for judging jobs.
    pub jobs: RecoverSettings,
}

/// Why a scheduler cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A job could not be judged.
    #[error(transparent)]
    Jobs(#[from] RecoverError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl WorkError {
    fn leaves_the_log_in_doubt(&self) -> bool {
        let log = match self {
            WorkError::Queue(QueueError::Log(e))
            | WorkError::Jobs(RecoverError::Queue(QueueError::Log(e))) => e,
            _ => return false,
        };
        matches!(log, LogError::Poisoned { .. } | LogError::PageReplaced { .. } | LogError::Gone { .. })
    }
}

/// Runs jobs.
pub struct Scheduler {
    pub(super) dir: StateDir,
    pub(super) queue: Queue,
    pub(super) settings: SchedulerSettings,
    pub(super) supervisors: Supervisors,
    pub(super) starts: Starts,
    watch: Watch,
    unsupervised: Unsupervised,
    wishes: Wishes,
    limits: Limits,
    last_checkpoint: Instant,
    retainer: Retainer,
    pub(super) started: Vec<JobId>,
    follower: Option<Follower>,
    cleanups: Derived,
    /// Whether the last look found a wanted repository held by others.
    pub(super) is_kept_waiting: bool,
    /// Whether no job is started any more.
    pub(super) is_ending: bool,
    /// Held while this scheduler starts the next jobs, whichever they are.
    announced: Option<FileLock>,
    /// The lock of the daemon that this scheduler works for.
    lock: Option<Arc<FileLock>>,
    /// This machine and boot, for the records of claims.
    pub(super) host: Arc<Host>,
    pub(super) occupied: Occupied,
    told: Told,
    troubles: Troubles,
}

/// Errors that may occur in every round.
struct Troubles {
    log_in_doubt: Repeats,
    cleanups: Repeats,
    locks: Repeats,
    records: Repeats,
    announcement: Repeats,
}

impl Troubles {
    const fn new() -> Troubles {
        Troubles {
            log_in_doubt: Repeats::new("the end of the queue's log is in doubt, and it is read anew"),
            cleanups: Repeats::new("cleanups of jobs that ended cannot be entered"),
            locks: Repeats::new("the lock that a job left cannot be given back"),
            records: Repeats::new("a job's record cannot be written; the next recovery writes it"),
            announcement: Repeats::new("others cannot be told that jobs are started here"),
        }
    }
}

/// Called with the queue in every round; returns true when it wants the next round at once.
pub(super) type Follower = Box<dyn FnMut(&mut Queue) -> bool + Send>;

impl Scheduler {
    /// Makes a scheduler for a recovered queue.
    pub fn new(dir: StateDir, queue: Queue, settings: SchedulerSettings) -> Scheduler {
        Scheduler {
            dir,
            queue,
            settings,
            supervisors: Supervisors::default(),
            starts: Starts::default(),
            watch: Watch::new(),
            unsupervised: Unsupervised::default(),
            wishes: Wishes::default(),
            limits: Limits::default(),
            last_checkpoint: Instant::now(),
            retainer: Retainer::default(),
            started: Vec::new(),
            follower: None,
            cleanups: Derived::default(),
            is_kept_waiting: false,
            is_ending: false,
            announced: None,
            lock: None,
            host: Arc::new(Host::this()),
            occupied: Occupied::default(),
            told: Told::default(),
            troubles: Troubles::new(),
        }
    }

    /// Ties the scheduler to a daemon: it ends when the file that the daemon has locked is no longer at its
    /// path.
    pub(super) fn work_under(&mut self, lock: Arc<FileLock>) {
        self.lock = Some(lock);
    }

    /// Checks that the path of the state directory still leads to what this scheduler works on: not to
    /// another folder, to nothing, or to the same folder with other files.
    fn check_place(&self) -> Result<(), DiskError> {
        match self.lock.as_deref().or(self.announced.as_ref()) {
            Some(lock) => lock.check_its_name(&self.dir.disk),
            None => self.dir.disk.check_its_home(),
        }
    }

    /// Sets the follower of the queue; returns the previous one.
    pub(super) fn follow(&mut self, follower: Follower) -> Option<Follower> {
        self.follower.replace(follower)
    }

    /// Sets whether old jobs are removed once a day, and by which rules.
    pub(super) fn retain(&mut self, retention: Option<JobRetention>, cleanup: &CleanupSettings) {
        self.retainer.take_over(retention.map(|retention| (retention, cleanup.clone())));
    }

    /// Uses other settings from the next round on.
    pub(super) fn take_over(&mut self, settings: SchedulerSettings) {
        self.settings = settings;
    }

    /// Returns the queue as this scheduler knows it.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Returns the jobs that this scheduler has started so far.
    pub fn started(&self) -> &[JobId] {
        &self.started
    }

    /// Returns why the host can start no job, as far as this scheduler has tried.
    pub fn why_host_cannot_start(&self) -> Option<&str> {
        self.starts.why_held()
    }

    /// Runs until `stop` says so.
    pub(crate) fn run(&mut self, stop: &dyn Fn() -> bool) -> Result<(), WorkError> {
        while !stop() {
            self.round()?;
        }
        Ok(())
    }

    /// Runs until no job can be started and all that were started here have ended.
    pub fn run_until_idle(&mut self, stop: &dyn Fn() -> bool) -> Result<(), WorkError> {
        while !stop() {
            let moved = self.step_or_reopen()?;
            let is_idle = self.supervisors.is_empty() && !self.is_any_running();
            if !moved && is_idle && !self.starts.is_trying() {
                return Ok(());
            }
            if !moved {
                self.rest();
            }
        }
        Ok(())
    }

    /// Starts no more jobs from now on; waiting tickets need not expect this scheduler.
    pub(super) fn start_no_more(&mut self) {
        self.is_ending = true;
        self.withdraw();
    }

    /// Returns how many jobs run, including those that another process supervises.
    pub(super) fn count_running(&self) -> usize {
        self.queue.state().running().len()
    }

    /// Runs one round, and rests when nothing happened.
    pub(super) fn round(&mut self) -> Result<(), WorkError> {
        if !self.step_or_reopen()? {
            self.rest();
        }
        Ok(())
    }

    /// Tells the supervisors of all running jobs that everything ends here; returns how long a job may take
    /// then.
    pub(super) fn interrupt_jobs(&self) -> Duration {
        let settings = &self.settings.jobs;
        let (host, table) = (Host::this(), ProcessTable::new());
        let look = JudgeContext { dir: &self.dir, host: &host, table: &table, limits: settings.limits };
        for job in self.queue.state().running() {
            // A job without a supervisor has none to tell.
            let _ = remind(&look, job);
        }
        settings.kill_grace
    }

    /// Whether a job that was started here has not ended, even if its supervisor has.
    fn is_any_running(&self) -> bool {
        let status = |id| self.queue.state().get(id).map(|j| j.status);
        self.started.iter().any(|id| status(id) == Some(JobStatus::Running))
    }

    /// Waits for a change of the queue. The wait is short while a job runs, because the end of a supervisor
    /// changes nothing in the queue; and while a repository is held, because giving it back writes no record
    /// either, and waiting tickets look as often.
    fn rest(&self) {
        let is_idle = self.supervisors.is_empty() && self.watch.is_empty();
        let longest = match (is_idle, self.is_kept_waiting) {
            (false, _) => Duration::from_millis(20),
            (true, true) => Duration::from_millis(100),
            (true, false) => self.settings.poll,
        };
        self.queue.wait(longest.min(self.settings.poll));
    }

    /// Runs one round. When the log's end is in doubt (a sync failed, the files that writers share were
    /// removed), the queue is read anew: recorded changes are seen then, others are decided again.
    fn step_or_reopen(&mut self) -> Result<bool, WorkError> {
        match self.step() {
            Err(e) if e.leaves_the_log_in_doubt() => {
                self.troubles.log_in_doubt.failed(&error_chain(&e));
                self.check_place()?;
                self.queue = Queue::open(&self.dir)?;
                self.occupied.forget();
                Ok(true)
            }
            Ok(moved) => {
                self.troubles.log_in_doubt.worked();
                Ok(moved)
            }
            other => other,
        }
    }

    /// Runs one round; returns true when something happened.
    pub(crate) fn step(&mut self) -> Result<bool, WorkError> {
        // Jobs submitted from now on are in another directory: nothing must wait for this scheduler.
        self.check_place()?;
        self.announce();
        let changed = self.queue.refresh()?;
        let ended = self.supervisors.reap();
        ended.iter().for_each(|gone| self.watch.lost(&gone.job));
        if !ended.is_empty() {
            // This reads the records that the supervisors wrote before they ended.
            self.queue.refresh()?;
            self.starts.ended(&self.dir, &ended, self.queue.state());
        }
        self.starts.look(&self.dir, &self.supervisors);
        let reconciled = self.reconcile_lost()?;
        self.starts.reconciled_elsewhere(self.queue.state());
        self.carry_out_wishes();
        self.limits.see_to(&self.dir, self.queue.state(), self.settings.jobs.limits);
        let started = self.start_jobs()?;
        self.enter_cleanups();
        self.retainer.step(&self.dir, &mut self.queue, &self.settings.jobs)?;
        self.checkpoint_if_due()?;
        let more = self.follower.as_mut().is_some_and(|follow| follow(&mut self.queue));
        let is_anything_new = changed || !ended.is_empty() || reconciled || started;
        if is_anything_new {
            self.told.look(self.queue.state());
        }
        Ok(is_anything_new || more)
    }

    /// Enters the cleanups of ended jobs that asked for one. They are derived from the queue, so one that
    /// cannot be written now is written the next time, or by the next scheduler or recovery.
    fn enter_cleanups(&mut self) {
        let by = &self.settings.jobs.actor.by;
        let entered = self.cleanups.enter_missing(&self.dir, self.queue.state(), by);
        self.troubles.cleanups.note(entered);
    }

    fn reconcile_lost(&mut self) -> Result<bool, WorkError> {
        let supervisors = &self.supervisors;
        let others = self.queue.state().running().filter(|j| !supervisors.watches(&j.id));
        let due = self.watch.due(&self.dir, others);
        if due.is_empty() {
            return Ok(false);
        }
        let of_host = self.starts.blamed_on_host(&due);
        let (of_host, others) = due.into_iter().partition(|job| of_host.contains(job));
        let mut changed = false;
        for (jobs, blame) in [(others, Blame::Job), (of_host, Blame::Host)] {
            let jobs: Vec<JobId> = jobs;
            let settings = RecoverSettings { blame, ..self.settings.jobs.clone() };
            for job in reconcile(&self.dir, &mut self.queue, &jobs, &settings, &mut |_, _| true)? {
                changed |= self.reconciled(&job)?;
            }
        }
        Ok(changed)
    }

    /// Handles a reconciled job; returns true when the job is not under way any more.
    fn reconciled(&mut self, job: &Reconciled) -> Result<bool, WorkError> {
        tell_judgement(job);
        self.watch_on(job);
        let id = &job.job_id;
        let is_unbegun =
            matches!(job.reconciliation, Reconciliation::Unknown { .. }) && self.give_back_unbegun(id)?;
        let is_over = is_unbegun
            || !matches!(job.reconciliation, Reconciliation::Reattached | Reconciliation::Unknown { .. });
        let never_started = is_unbegun || job.judgement.verdict == Verdict::NeverStarted;
        let last = self.queue.state().get(id).and_then(|job| job.run_state().history.last());
        let why = last.and_then(|turn| turn.reason.clone()).unwrap_or_default();
        self.starts.judged(&self.dir, id, never_started, &why);
        if is_over {
            self.give_back_repository_of(id);
            self.write_record(id);
        }
        Ok(is_over)
    }

    /// Gives back a claim that our own supervisor has not begun; returns whether it did. Where locks prove
    /// nothing (a network file system), the supervisor's files do.
    fn give_back_unbegun(&mut self, id: &JobId) -> Result<bool, WorkError> {
        let Some(lost) = self.starts.left_unbegun(&self.dir, id) else { return Ok(false) };
        let is_of_host = !self.starts.blamed_on_host(std::slice::from_ref(id)).is_empty();
        self.give_back(id, lost.claim, "its supervisor left without having begun it", is_of_host)?;
        Ok(true)
    }

    /// Carries out recorded cancels, whether or not their signals arrived.
    fn carry_out_wishes(&mut self) {
        let alone = self.wishes.repeat(&self.dir, self.queue.state(), &self.settings.jobs);
        // The time that is left does not matter for a cancel.
        alone.iter().for_each(|job| self.unsupervised.see_to(&self.dir, job, None, &self.settings.jobs));
    }

    /// Watches a living job by the processes in its judgement.
    fn watch_on(&mut self, reconciled: &Reconciled) {
        let Some(job) = self.queue.state().get(&reconciled.job_id) else { return };
        let left = time_left(job, &reconciled.judgement);
        self.watch.judged(reconciled, left);
        let is_unsupervised = matches!(reconciled.judgement.verdict, Verdict::OrphanedProcess { .. });
        if is_unsupervised && reconciled.reconciliation == Reconciliation::Reattached {
            self.unsupervised.see_to(&self.dir, job, left, &self.settings.jobs);
        }
    }

    /// Gives back the lock of a job that vanished at once, if that is provably right.
    fn give_back_repository_of(&self, id: &JobId) {
        if let Some(repository) = self.queue.state().get(id).and_then(|j| j.repository.clone()) {
            self.recover_lock(&repository);
        }
    }

    /// Whether the lock is free now. The next recovery reports anything else that is wrong with it.
    pub(super) fn recover_lock(&self, repository: &str) -> bool {
        let (host, table) = (Host::this(), ProcessTable::new());
        let look =
            JudgeContext { dir: &self.dir, host: &host, table: &table, limits: self.settings.jobs.limits };
        let running: Vec<_> = self.queue.state().running().cloned().collect();
        let liveness = |id: &JobId, claim: Claim| liveness_of(&look, &running, id, claim);
        let recovered = locks::recover_one(&self.dir, repository, &liveness);
        match self.troubles.locks.note(recovered) {
            Some(None) => true,
            Some(Some(lock)) => lock.outcome == LockOutcome::Released,
            None => false,
        }
    }

    /// Announces to waiting tickets that this scheduler starts queued jobs in their order. One of several
    /// schedulers announces it; when that one is gone, the next does.
    fn announce(&mut self) {
        if self.settings.only.is_empty() && self.announced.is_none() && !self.is_ending {
            let path = self.dir.paths.scheduling_lock();
            // Processes that only look hold it for moments.
            self.announced = match FileLock::take_if_free(&self.dir.disk, &path, LOOK_GRACE, |_, _| true) {
                Ok(Taken::Ours(lock)) => Some(lock),
                Err(e) if e.is_not_found() => FileLock::try_acquire(&self.dir.disk, &path).ok(),
                _ => None,
            };
            if let Some(lock) = &self.announced {
                // From now on others believe it, so it replaces what another scheduler left.
                self.starts.tell_anew(&self.dir);
                // After a crash, its content says that a scheduler is expected back.
                let since = self.dir.clock.now().to_string();
                let holder = Holder { pid: std::process::id(), purpose: "starts jobs".to_owned(), since };
                self.troubles.announcement.note(lock.describe(&holder));
            }
        }
    }

    pub(super) fn write_record_of(&self, id: &JobId) -> Result<(), RecordError> {
        let Some(job) = self.queue.state().get(id) else { return Ok(()) };
        record::write(&self.dir, job)
    }

    /// Writes a job's record. The record is derived, so the next recovery repairs a failure to write it.
    fn write_record(&self, id: &JobId) {
        self.troubles.records.note(self.write_record_of(id));
    }

    fn checkpoint_if_due(&mut self) -> Result<(), WorkError> {
        let new = self.queue.records_since_checkpoint();
        let jobs = self.queue.state().jobs().len() as u64;
        // A snapshot costs in proportion to the jobs, so it waits until the log has grown in proportion.
        let many = new >= self.settings.checkpoint_records.max(jobs / 2);
        let late = new > 0 && self.last_checkpoint.elapsed() >= self.settings.checkpoint_interval;
        if many || late {
            self.queue.checkpoint()?;
            self.last_checkpoint = Instant::now();
        }
        Ok(())
    }
}

impl Scheduler {
    fn withdraw(&mut self) {
        if self.check_place().is_ok() {
            self.starts.forget(&self.dir);
        }
        if let Some(lock) = self.announced.take() {
            // The end is orderly, so nothing need wait for this scheduler to come back. If the truncation
            // fails, others wait for a moment.
            self.troubles.announcement.note(lock.file().truncate(0));
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.withdraw();
    }
}
