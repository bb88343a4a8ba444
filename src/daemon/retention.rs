//! Jobs that are old enough go, once a day: a batch of them in each round of the scheduler, what they left in
//! a thread of its own, so that no job waits for a large workspace to be deleted.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::durable::DiskError;
use crate::jobs::{
    PruneError, PruneReport, RecoverSettings, Retention, TrashEmptied, delete_slots, finish_removals,
    prune_some, slots_without_job, trash_slots,
};
use crate::locks::{LockHolder, LockState, MetadataRead, read_metadata};
use crate::queue::{Job, JobId, Queue, QueueError};
use crate::state::StateDir;
use crate::webhooks::{DeliveryLog, undelivered};

const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Jobs a round.
const A_ROUND: usize = 64;

/// What still refers to jobs that are over. Deliveries follow from the jobs in the queue, so those that are
/// undelivered keep theirs; the delivery log is read once, and what arrives later only keeps a job longer.
pub struct Needs<'a> {
    dir: &'a StateDir,
    deliveries: OnceCell<Option<DeliveryLog>>,
}

impl<'a> Needs<'a> {
    /// Of the jobs of a state directory.
    #[must_use]
    pub fn new(dir: &'a StateDir) -> Needs<'a> {
        Needs { dir, deliveries: OnceCell::new() }
    }

    /// Why a job that is over is not to go yet: a code and the reason in words.
    #[must_use]
    pub fn of(&self, job: &Job) -> Option<(&'static str, String)> {
        still_needed(self.dir, job, &|| self.undelivered(job))
    }

    /// How many of the job's deliveries have not arrived; all count when that cannot be told.
    fn undelivered(&self, job: &Job) -> usize {
        let log = self.deliveries.get_or_init(|| DeliveryLog::open(self.dir).ok());
        log.as_ref().map_or(usize::MAX, |log| {
            let state = log.state();
            undelivered(self.dir, state, state.endpoints(), job)
        })
    }
}

/// Cleanups are recorded with a job's end; as long as nothing tells that they were carried out, they are
/// pending.
fn still_needed(
    dir: &StateDir,
    job: &Job,
    undelivered: &dyn Fn() -> usize,
) -> Option<(&'static str, String)> {
    let Ok(spec) = job.spec() else {
        return Some(("job-of-later-version", "what it was to do cannot be understood".to_owned()));
    };
    if !spec.callbacks.is_empty() && undelivered() > 0 {
        return Some(("job-callback-pending", "its callbacks are not delivered yet".to_owned()));
    }
    if spec.auto_cleanup {
        return Some(("job-cleanup-pending", "its cleanup is not done yet".to_owned()));
    }
    let repository = job.repository.as_deref()?;
    let paths = dir.paths.lock(repository).ok()?;
    match read_metadata(&paths.metadata, repository) {
        MetadataRead::Whole(lock)
            if lock.state != LockState::Released && belongs_to(&lock.holder, &job.id) =>
        {
            Some(("job-holds-lock", format!("the lock of repository {repository} is in its name")))
        }
        MetadataRead::Damaged { why } => {
            Some(("job-may-hold-lock", format!("the lock of repository {repository} cannot be read: {why}")))
        }
        MetadataRead::Whole(_) | MetadataRead::Missing => None,
    }
}

fn belongs_to(holder: &LockHolder, id: &JobId) -> bool {
    matches!(holder, LockHolder::Job { job_id, .. } if job_id == id)
}

/// Prunes while a daemon runs.
#[derive(Debug, Default)]
pub(super) struct Retainer {
    retention: Option<Retention>,
    next: Option<Instant>,
    outlived: VecDeque<JobId>,
    deleting: Option<JoinHandle<Result<TrashEmptied, DiskError>>>,
}

impl Retainer {
    pub(super) fn new(retention: Retention) -> Retainer {
        Retainer { retention: Some(retention), ..Retainer::default() }
    }

    /// One round, begun once a day and at the start. What the disk refuses is tried again a day later.
    pub(super) fn step(
        &mut self,
        dir: &StateDir,
        queue: &mut Queue,
        settings: &RecoverSettings,
    ) -> Result<(), QueueError> {
        let Some(retention) = self.retention else { return Ok(()) };
        if self.outlived.is_empty() {
            if self.next.is_some_and(|next| Instant::now() < next) {
                return Ok(());
            }
            self.next = Some(Instant::now() + EVERY);
            of_the_queue(finish_removals(dir, queue, settings))?;
            self.outlived = retention.outlived(queue.state(), dir.clock.now()).into();
        }
        let some: Vec<JobId> = self.outlived.drain(..self.outlived.len().min(A_ROUND)).collect();
        let needs = Needs::new(dir);
        let needed = |job: &Job| needs.of(job);
        let mut report = PruneReport::default();
        of_the_queue(prune_some(dir, queue, &some, &retention, &needed, settings, &mut report))?;
        if self.outlived.is_empty() {
            self.delete(dir, queue)?;
        }
        Ok(())
    }

    /// Begins to delete what is in the trash. A thread that is at it still is left to it.
    fn delete(&mut self, dir: &StateDir, queue: &mut Queue) -> Result<(), QueueError> {
        if self.deleting.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return Ok(());
        }
        let Ok(listed) = trash_slots(dir) else { return Ok(()) };
        queue.refresh()?;
        let slots = slots_without_job(listed, queue.state());
        let dir = dir.clone();
        // Killed with the daemon, it leaves what the next one deletes.
        self.deleting = Some(std::thread::spawn(move || delete_slots(&dir, &slots)));
        Ok(())
    }
}

/// A disk that refuses is no reason to run no jobs.
fn of_the_queue<T>(done: Result<T, PruneError>) -> Result<(), QueueError> {
    match done {
        Err(PruneError::Queue(e)) => Err(e),
        _ => Ok(()),
    }
}
