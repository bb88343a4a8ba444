//! Removes old jobs once a day. A separate thread examines references to them and their leftovers, because an
//! engine may be slow. Jobs that need a cleanup get one entered, and are examined again soon. The others are
//! removed a batch in each round of the scheduler; their files are deleted in another thread, so that no job
//! waits for a large workspace.

use std::collections::HashMap;
use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::removal_blockers::{RemovalBlockers, waits_for_cleanup};
use crate::cleanup::CleanupSettings;
use crate::durable::{Backoff, DiskError, error_chain};
use crate::in_use::JobsAtWork;
use crate::jobs::RecoverSettings;
use crate::logging::{Repeats, events};
use crate::prune::{
    JobRetention, PruneError, PruneReport, TrashEmptied, delete_slots, finish_removals, prune_some,
    slots_without_job, trash_slots, would_prune_these,
};
use crate::queue::{Job, JobId, Queue, QueueError};
use crate::state::StateDir;
use crate::state::human;
use crate::system::ClockWatch;
use tracing::{debug, info, warn};

const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// The pause before jobs that wait for a cleanup are examined again.
const SOON: Duration = Duration::from_secs(2);
const PAUSES: Backoff = Backoff::new(SOON, Duration::from_secs(600));
/// Reasons to keep a job that do not pass by themselves within a day.
const FOR_LONG: [&str; 3] = ["job-resumable", "job-callback-pending", "job-of-later-version"];
/// How many jobs are removed in a round.
const A_ROUND: usize = 64;

/// Prunes while a daemon runs.
#[derive(Debug)]
pub(super) struct Retainer {
    rules: Option<(JobRetention, CleanupSettings)>,
    clock: ClockWatch,
    next: Option<Instant>,
    /// The pauses before the next look, while jobs wait for a cleanup.
    pauses: Backoff,
    /// The number of open cleanups that the last look found.
    open: usize,
    looking: Option<JoinHandle<Looked>>,
    /// The rules were changed after the present look began.
    is_outdated: bool,
    /// Jobs that may be removed, each with the attempt that was examined.
    free: HashMap<JobId, u32>,
    deleting: Option<JoinHandle<Result<TrashEmptied, DiskError>>>,
    trouble: Repeats,
    thread_trouble: Repeats,
    delete_trouble: Repeats,
}

impl Default for Retainer {
    fn default() -> Retainer {
        Retainer {
            rules: None,
            clock: ClockWatch::default(),
            next: None,
            pauses: PAUSES,
            open: 0,
            looking: None,
            is_outdated: false,
            free: HashMap::new(),
            deleting: None,
            trouble: Repeats::new("jobs that are old enough cannot be removed"),
            thread_trouble: Repeats::new("no thread for the removal of old jobs"),
            delete_trouble: Repeats::new("the files of removed jobs cannot be deleted"),
        }
    }
}

/// The result of a look at the old jobs.
#[derive(Debug, Default)]
struct Looked {
    free: HashMap<JobId, u32>,
    /// Whether some wait for a cleanup, or for a cause that soon passes: a process in their workspace, a
    /// supervisor that ends.
    pending: bool,
    /// How many of their cleanups can be worked on.
    open: usize,
}

impl Retainer {
    /// Applies other rules from now on; when they change how long jobs are kept, the jobs are examined again
    /// at once.
    pub(super) fn take_over(&mut self, rules: Option<(JobRetention, CleanupSettings)>) {
        let times = |rules: &Option<(JobRetention, CleanupSettings)>| rules.as_ref().map(|(times, _)| *times);
        if times(&self.rules) != times(&rules) {
            self.next = None;
            self.is_outdated = self.looking.is_some();
        }
        self.rules = rules;
    }

    /// Does one step of a run, which begins once a day and at the start. If the disk refuses, the run is
    /// tried again a day later.
    pub(super) fn step(
        &mut self,
        dir: &StateDir,
        queue: &mut Queue,
        settings: &RecoverSettings,
    ) -> Result<(), QueueError> {
        let Some((retention, cleanup)) = &self.rules else { return Ok(()) };
        let retention = *retention;
        if self.free.is_empty() {
            match self.looking.take_if(|thread| thread.is_finished()) {
                // The result follows the old rules.
                Some(_) if std::mem::take(&mut self.is_outdated) => {}
                Some(thread) => {
                    let looked = thread.join().unwrap_or_else(|_| {
                        warn!(event = events::TROUBLE, "the look at old jobs broke off by a fault");
                        Looked::default()
                    });
                    self.free = looked.free;
                    self.look_again(looked.pending, looked.open);
                    if self.free.is_empty() {
                        self.delete(dir, queue, settings)?;
                    }
                }
                None if self.looking.is_some() => {}
                None if self.next.is_some_and(|next| Instant::now() < next) => {}
                // The age of jobs is uncertain: no job is removed because of its age.
                None if self.clock.ahead(&dir.clock).is_some() => {}
                None => {
                    of_the_queue(&self.trouble, finish_removals(dir, queue, settings))?;
                    let outlived = retention.outlived(queue.state(), dir.clock.now());
                    let jobs = outlived.iter().filter_map(|id| queue.state().get(id));
                    let (jobs, at_work) = (jobs.cloned().collect(), JobsAtWork::of(dir, queue.state()));
                    self.looking =
                        self.thread_trouble.note(look(dir, jobs, at_work, retention, cleanup, settings));
                    if self.looking.is_none() {
                        // No thread is available now.
                        self.next = Some(Instant::now() + SOON);
                    }
                }
            }
        }
        if self.free.is_empty() {
            return Ok(());
        }
        let some: Vec<JobId> = self.free.keys().take(A_ROUND).cloned().collect();
        let looked: HashMap<JobId, u32> = some.iter().filter_map(|id| self.free.remove_entry(id)).collect();
        let needed = |job: &Job| {
            let is_other = looked.get(&job.id) != Some(&job.attempt);
            is_other.then(|| ("job-not-over", "it was changed since".to_owned()))
        };
        let mut report = PruneReport::default();
        let pruned = prune_some(dir, queue, &some, &retention, &needed, settings, &mut report);
        of_the_queue(&self.trouble, pruned)?;
        for gone in &report.removed {
            debug!(
                event = events::JOB_REMOVED,
                job_id = gone.job_id,
                "job {} is removed: it is old enough",
                gone.job_id
            );
        }
        if !report.removed.is_empty() {
            let removed = report.removed.len();
            info!(
                event = events::JOB_REMOVED,
                removed,
                "{} removed, which are old enough",
                human::count(removed, "job")
            );
        }
        if report.kept.iter().any(|kept| passes_soon(&kept.code)) {
            self.look_again(true, self.open);
        }
        if self.free.is_empty() {
            self.delete(dir, queue, settings)?;
        }
        Ok(())
    }

    /// Plans the next look: a day later, or soon when cleanups must be done first, with growing pauses while
    /// they make no progress.
    fn look_again(&mut self, pending: bool, open: usize) {
        let is_getting_on = open != self.open;
        if is_getting_on || !pending {
            self.pauses = PAUSES;
        }
        self.open = open;
        self.next = Some(Instant::now() + if pending { self.pauses.pause() } else { EVERY });
    }

    /// Begins to delete the trash, unless a thread is still doing that.
    fn delete(
        &mut self,
        dir: &StateDir,
        queue: &mut Queue,
        settings: &RecoverSettings,
    ) -> Result<(), QueueError> {
        if self.deleting.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return Ok(());
        }
        if let Some(deleted) = self.deleting.take().map(JoinHandle::join) {
            // A panic has been reported already.
            deleted.into_iter().for_each(|deleted| drop(self.delete_trouble.note(deleted)));
        }
        let Some(listed) = self.delete_trouble.note(trash_slots(dir)) else { return Ok(()) };
        queue.refresh()?;
        let slots = slots_without_job(listed, queue.state());
        let (dir, keep) = (dir.clone(), settings.keep.clone());
        // If it is killed with the daemon, the next daemon deletes the rest.
        let delete = move || delete_slots(&dir, &slots, &keep);
        self.deleting = self.thread_trouble.note(Builder::new().name("delete".to_owned()).spawn(delete));
        Ok(())
    }
}

/// Finds out which of the jobs may be removed, and enters the cleanups that others need.
fn look(
    dir: &StateDir,
    jobs: Vec<Job>,
    at_work: JobsAtWork,
    retention: JobRetention,
    cleanup: &CleanupSettings,
    settings: &RecoverSettings,
) -> io::Result<JoinHandle<Looked>> {
    let (dir, cleanup, settings) = (dir.clone(), cleanup.clone(), settings.clone());
    Builder::new().name("retention".to_owned()).spawn(move || {
        let mut needs = RemovalBlockers::new(&dir, &cleanup);
        let needed = |job: &Job| needs.of(job);
        let report = would_prune_these(&dir, jobs.iter(), at_work, &retention, &needed, &settings);
        let by_id: HashMap<String, &Job> = jobs.iter().map(|job| (job.id.to_string(), job)).collect();
        let of = |id: &String| by_id.get(id).copied();
        let waiting: Vec<&Job> =
            report.kept.iter().filter(|k| waits_for_cleanup(k)).filter_map(|k| of(&k.job_id)).collect();
        let pending = report.kept.iter().any(|kept| passes_soon(&kept.code));
        // A cleanup that cannot be entered now is entered with the next look.
        let open = needs.enter_cleanups(waiting.into_iter()).map_or_else(
            |e| {
                warn!(
                    event = events::TROUBLE,
                    "the cleanups of old jobs cannot be entered: {}",
                    error_chain(&e)
                );
                0
            },
            |ids| ids.len(),
        );
        let free = report.removed.iter().filter_map(|gone| of(&gone.job_id));
        Looked { free: free.map(|job| (job.id.clone(), job.attempt)).collect(), pending, open }
    })
}

fn passes_soon(code: &str) -> bool {
    !FOR_LONG.contains(&code)
}

/// Notes a disk that refuses, which does not stop the jobs, and passes errors of the queue on.
fn of_the_queue<T>(trouble: &Repeats, done: Result<T, PruneError>) -> Result<(), QueueError> {
    match done {
        Err(PruneError::Queue(e)) => Err(e),
        other => {
            trouble.note(other);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::Disk;
    use crate::queue::Actor;
    use crate::state::Clock;

    /// A look that ends long after it began would otherwise be the last one for a day.
    #[test]
    fn look_is_repeated_after_rules_changed() {
        let place = tempfile::tempdir().unwrap();
        let dir =
            StateDir::open_or_create(&place.path().join("state"), Disk::real(), Clock::system()).unwrap();
        let mut queue = Queue::open(&dir).unwrap();
        let settings = RecoverSettings::new(Actor::default());
        let thread = std::thread::spawn(Looked::default);
        while !thread.is_finished() {
            std::thread::yield_now();
        }
        let mut retainer = Retainer { looking: Some(thread), ..Retainer::default() };
        let rules = JobRetention { keep_days: Some(0), keep_last: Some(0), crashed: false };
        retainer.take_over(Some((rules, CleanupSettings::new(Actor::default()))));
        retainer.step(&dir, &mut queue, &settings).unwrap();
        assert!(retainer.looking.is_none() && retainer.next.is_none(), "{retainer:?}");
        retainer.step(&dir, &mut queue, &settings).unwrap();
        assert!(retainer.looking.is_some(), "{retainer:?}");
    }

    #[test]
    fn pending_jobs_are_looked_at_before_next_day() {
        for code in ["job-in-use", "job-still-alive", "job-cleanup-pending", "job-holds-lock"] {
            assert!(passes_soon(code), "{code}");
        }
        assert!(!passes_soon("job-resumable"));
    }
}
