//! The loop of a scheduler: has queued jobs started, watches running jobs, writes checkpoints.

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

/// A mere look whether a lock is held holds it for less than this.
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
    /// Only these jobs; all when empty.
    pub only: BTreeSet<JobId>,
    /// At most so long between two looks.
    pub poll: Duration,
    /// Records since the last snapshot that make a new one due.
    pub checkpoint_records: u64,
    /// Time since the last snapshot that makes a new one due, if there are new records.
    pub checkpoint_interval: Duration,
    /// The actor of the records, and the limits.
    pub jobs: RecoverSettings,
}

/// Why a scheduler cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// Judging jobs.
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
    /// Held while this scheduler starts whatever job is next.
    announced: Option<FileLock>,
    /// The lock of the daemon that this scheduler works for.
    lock: Option<Arc<FileLock>>,
    pub(super) occupied: Occupied,
    told: Told,
    troubles: Troubles,
}

/// What may fail in every round.
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

/// Looks at the queue in every round; true when it wants the next one at once.
pub(super) type Follower = Box<dyn FnMut(&mut Queue) -> bool + Send>;

impl Scheduler {
    /// A scheduler on a recovered queue.
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
            occupied: Occupied::default(),
            told: Told::default(),
            troubles: Troubles::new(),
        }
    }

    /// It is a daemon's, and ends when what that has locked is not at its path any more.
    pub(super) fn work_under(&mut self, lock: Arc<FileLock>) {
        self.lock = Some(lock);
    }

    /// Whether what lies at the path of the state directory is still what this scheduler works on: not another folder,
    /// nothing, or the same folder with other files.
    fn check_place(&self) -> Result<(), DiskError> {
        match self.lock.as_deref().or(self.announced.as_ref()) {
            Some(lock) => lock.check_its_name(&self.dir.disk),
            None => self.dir.disk.check_its_home(),
        }
    }

    /// From now on this one follows the queue; returns the one that did before.
    pub(super) fn follow(&mut self, follower: Follower) -> Option<Follower> {
        self.follower.replace(follower)
    }

    /// From now on old jobs are removed once a day, or none.
    pub(super) fn retain(&mut self, retention: Option<JobRetention>, cleanup: &CleanupSettings) {
        self.retainer.take_over(retention.map(|retention| (retention, cleanup.clone())));
    }

    /// Other settings from the next round on.
    pub(super) fn take_over(&mut self, settings: SchedulerSettings) {
        self.settings = settings;
    }

    /// The queue as this scheduler knows it.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The jobs that this scheduler has started so far.
    pub fn started(&self) -> &[JobId] {
        &self.started
    }

    /// Why the host can start no job, as far as this scheduler has tried.
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

    /// Runs until nothing can be started and all that was started here has ended.
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

    /// From now on no job is started; waiting tickets need not expect it.
    pub(super) fn start_no_more(&mut self) {
        self.is_ending = true;
        self.withdraw();
    }

    /// How many jobs run, also those that another process supervises.
    pub(super) fn count_running(&self) -> usize {
        self.queue.state().running().len()
    }

    /// One round, and a rest when nothing happened.
    pub(super) fn round(&mut self) -> Result<(), WorkError> {
        if !self.step_or_reopen()? {
            self.rest();
        }
        Ok(())
    }

    /// Tells the supervisors of all running jobs that everything ends here; how long a job may take then.
    pub(super) fn interrupt_jobs(&self) -> Duration {
        let settings = &self.settings.jobs;
        let (host, table) = (Host::this(), ProcessTable::new());
        let look = JudgeContext { dir: &self.dir, host: &host, table: &table, limits: settings.limits };
        for job in self.queue.state().running() {
            // One that nobody supervises has nobody to tell.
            let _ = remind(&look, job);
        }
        settings.kill_grace
    }

    /// Whether something that was started here has not ended: also when its supervisor has.
    fn is_any_running(&self) -> bool {
        let status = |id| self.queue.state().get(id).map(|j| j.status);
        self.started.iter().any(|id| status(id) == Some(JobStatus::Running))
    }

    /// Waits for a change of the queue. The wait is short while something runs, because the exit or kill of a
    /// supervisor changes nothing in the queue; and while a repository is held, because giving it back is no
    /// record either, and waiting tickets look as often.
    fn rest(&self) {
        let is_idle = self.supervisors.is_empty() && self.watch.is_empty();
        let longest = match (is_idle, self.is_kept_waiting) {
            (false, _) => Duration::from_millis(20),
            (true, true) => Duration::from_millis(100),
            (true, false) => self.settings.poll,
        };
        self.queue.wait(longest.min(self.settings.poll));
    }

    /// One round. When the log's end is in doubt (a sync failed, the files that writers share were removed)
    /// the queue is read anew: recorded changes are seen then, others are decided again.
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

    /// One round; true when something happened.
    pub(crate) fn step(&mut self) -> Result<bool, WorkError> {
        // Jobs submitted from now on are in another directory: nothing must wait for this scheduler.
        self.check_place()?;
        self.announce();
        let changed = self.queue.refresh()?;
        let ended = self.supervisors.reap();
        ended.iter().for_each(|gone| self.watch.lost(&gone.job));
        if !ended.is_empty() {
            // See the records that they wrote before they ended.
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

    /// Enters the cleanups of ended jobs that asked for one. Derived from the queue, so one that cannot be
    /// written now is written the next time, or by the next scheduler or recovery.
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

    /// True when the job is not under way any more.
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

    /// Where locks prove nothing (a network file system), the files of our own supervisor do.
    fn give_back_unbegun(&mut self, id: &JobId) -> Result<bool, WorkError> {
        let Some(lost) = self.starts.left_unbegun(&self.dir, id) else { return Ok(false) };
        let is_of_host = !self.starts.blamed_on_host(std::slice::from_ref(id)).is_empty();
        self.give_back(id, lost.claim, "its supervisor left without having begun it", is_of_host)?;
        Ok(true)
    }

    /// A recorded cancel is owed, whether or not its signal arrived.
    fn carry_out_wishes(&mut self) {
        let alone = self.wishes.repeat(&self.dir, self.queue.state(), &self.settings.jobs);
        // For a wish the time that is left is no matter.
        alone.iter().for_each(|job| self.unsupervised.see_to(&self.dir, job, None, &self.settings.jobs));
    }

    /// Watches a judged, living job by the processes in the judgement.
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

    /// Whether the lock is free now. The next recovery reports anything else wrong with it.
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

    /// Announces to waiting tickets that queued jobs are started here, in their order. One of several
    /// schedulers announces it; when that one is gone, the next does.
    fn announce(&mut self) {
        if self.settings.only.is_empty() && self.announced.is_none() && !self.is_ending {
            let path = self.dir.paths.scheduling_lock();
            // Those who only look hold it for moments.
            self.announced = match FileLock::take_if_free(&self.dir.disk, &path, LOOK_GRACE, |_, _| true) {
                Ok(Taken::Ours(lock)) => Some(lock),
                Err(e) if e.is_not_found() => FileLock::try_acquire(&self.dir.disk, &path).ok(),
                _ => None,
            };
            if let Some(lock) = &self.announced {
                // From now on it is believed: replace what another scheduler left.
                self.starts.tell_anew(&self.dir);
                // After a crash its content says that a scheduler is expected back.
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

    /// Derived, so that a failure to write it is for the next recovery to repair.
    fn write_record(&self, id: &JobId) {
        self.troubles.records.note(self.write_record_of(id));
    }

    fn checkpoint_if_due(&mut self) -> Result<(), WorkError> {
        let new = self.queue.records_since_checkpoint();
        let jobs = self.queue.state().jobs().len() as u64;
        // A snapshot costs as much as there are jobs: not before the log has grown in proportion.
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
            // An orderly end: nothing need wait for this scheduler to come back. If the truncation fails, others wait for
            // a moment.
            self.troubles.announcement.note(lock.file().truncate(0));
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.withdraw();
    }
}
