//! Finds out whether the jobs that hold locks are alive, for callers outside of a recovery: `lock`,
//! `release`, reports.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::locks::liveness_of;
use crate::durable::is_held;
use crate::jobs::{FreshnessLimits, JudgeContext, ProcessTable};
use crate::locks::{JobLiveness, LockHolder, QueuedJobs, job_goes_first, read_metadata};
use crate::logging::Repeats;
use crate::queue::{Claim, Job, JobId, JobStatus, Queue, QueueState};
use crate::state::StateDir;
use crate::system::Host;

/// How long waiting processes leave queued jobs their places when the scheduler has crashed, so that it can
/// come back.
const EXPECTED_BACK: Duration = Duration::from_secs(30);

/// Answers from the queue at the moment of the question, so that a claim made since is seen. The queue is
/// opened at the first question; for most locks there is none.
pub struct JobHolders {
    dir: StateDir,
    limits: FreshnessLimits,
    queue: RefCell<Option<Queue>>,
    /// Since when a scheduler is missing that had not ended in order.
    missed: Cell<Option<Instant>>,
    trouble: Repeats,
}

impl JobHolders {
    /// For the jobs of a state directory.
    pub(crate) fn new(dir: &StateDir, limits: FreshnessLimits) -> JobHolders {
        let trouble = Repeats::new("the queue cannot be read to judge who holds a lock");
        JobHolders { dir: dir.clone(), limits, queue: RefCell::default(), missed: Cell::default(), trouble }
    }

    /// Returns whether the attempt that this claim began is alive; unknown when the queue cannot be read.
    pub fn liveness(&self, id: &JobId, claim: Claim) -> JobLiveness {
        let Some(running) = self.running(id) else { return JobLiveness::Unknown };
        let (host, table) = (Host::this(), ProcessTable::new());
        let look = JudgeContext { dir: &self.dir, host: &host, table: &table, limits: self.limits };
        liveness_of(&look, &running, id, claim)
    }

    /// Returns the job, if it is running; `None` when that cannot be determined.
    fn running(&self, id: &JobId) -> Option<Vec<Job>> {
        let is_running = |job: &&Job| job.status == JobStatus::Running;
        self.with_queue(|state| state.get(id).filter(is_running).cloned().into_iter().collect())
    }

    /// Calls `look_at` with the present queue; returns `None` when the queue cannot be read.
    pub(crate) fn with_queue<T>(&self, look_at: impl FnOnce(&QueueState) -> T) -> Option<T> {
        let mut slot = self.queue.borrow_mut();
        // Another process may change the log in a way that requires opening it again.
        if slot.as_mut().is_none_or(|queue| queue.refresh().is_err()) {
            *slot = self.trouble.note(Queue::open(&self.dir));
            slot.as_mut()?.refresh().ok()?;
        }
        slot.as_ref().map(|queue| look_at(queue.state()))
    }

    /// Whether a scheduler runs, or died so recently that it is expected back.
    fn is_scheduled(&self) -> bool {
        let path = self.dir.paths.scheduling_lock();
        if is_held(&path).unwrap_or(false) {
            self.missed.set(None);
            return true;
        }
        let is_empty = std::fs::metadata(&path).map_or(true, |file| file.len() == 0);
        if is_empty {
            // The last scheduler ended in order. The next one may have come between the two looks.
            return is_held(&path).unwrap_or(false);
        }
        let since = self.missed.get().unwrap_or_else(Instant::now);
        self.missed.set(Some(since));
        since.elapsed() < EXPECTED_BACK
    }

    /// Returns how far a running job is with its repository.
    fn stand_of(&self, repository: &str, running: &Job) -> Stand {
        let Ok(paths) = self.dir.paths.lock(repository) else { return Stand::Unknown };
        let metadata = read_metadata(&paths.metadata, repository);
        let named = metadata.whole().map(|m| &m.holder);
        let has_taken = matches!(named, Some(LockHolder::Job { job_id, claim, .. })
            if *job_id == running.id && Some(*claim) == running.run_state().claim);
        if has_taken {
            return Stand::HasTaken;
        }
        match self.liveness(&running.id, running.run_state().claim.unwrap_or_default()) {
            JobLiveness::Unknown => Stand::Unknown,
            _ => Stand::AboutToTake,
        }
    }
}

/// How far a running job is with its repository's lock.
enum Stand {
    /// The metadata names the job's claim: metadata and flock decide, and the queue says who comes next.
    HasTaken,
    /// The job was claimed for the repository and has not taken its lock yet.
    AboutToTake,
    /// Whether the job lives is unknown.
    Unknown,
}

/// Queued jobs for a lock's line. When the queue cannot be read, no jobs are started, so none of them goes
/// first.
impl QueuedJobs for JobHolders {
    fn end(&self) -> u64 {
        self.with_queue(QueueState::last_seq).unwrap_or(0)
    }

    fn ahead(&self, repository: &str, behind: u64) -> Option<JobId> {
        if !self.is_scheduled() {
            return None; // No scheduler would start it.
        }
        let now = self.dir.clock.now();
        let (running, queued) = self.with_queue(|state| {
            let running = state.running().find(|j| j.repository.as_deref() == Some(repository)).cloned();
            let is_before = |job: &&Job| {
                job.repository.as_deref() == Some(repository)
                    && job.keeps_its_turn(now)
                    && job_goes_first(job.priority, job.place.seq, behind)
            };
            (running, state.queued().find(is_before).map(|job| job.id.clone()))
        })?;
        match running.map(|job| (self.stand_of(repository, &job), job)) {
            Some((Stand::AboutToTake, job)) => Some(job.id),
            // While the job counts as running, no other job is started.
            Some((Stand::Unknown, _)) => None,
            Some((Stand::HasTaken, _)) | None => queued,
        }
    }
}
