//! Which jobs are to be cleaned up by the queue's word alone.

use std::collections::HashSet;

use super::record::{CleanupRecord, Source};
use super::{completed, store};
use crate::durable::DiskError;
use crate::queue::{Job, JobId, JobStatus, QueueState};
use crate::state::StateDir;

/// Follows a queue: which of its jobs ask for cleanup, and whose was entered already. A new one looks at
/// every job once; from then on only new jobs, and those that ask, are looked at.
#[derive(Debug, Default)]
pub struct Derived {
    asking: Vec<JobId>,
    seen: usize,
    entered: u64,
    /// Ids of cleanups that there are or were.
    known: Option<HashSet<String>>,
}

/// The id of a job's cleanup after an attempt.
pub(super) fn id_of(job: &Job) -> String {
    format!("{}.{}", job.id, job.attempt)
}

fn asks(job: &Job) -> bool {
    // The spec is JSON that we wrote; most do not ask, and a million are not parsed.
    memchr::memmem::find(job.raw_spec.as_bytes(), b"\"auto_cleanup\"").is_some()
        && job.spec().is_ok_and(|s| s.auto_cleanup)
}

/// Whether a job's leftovers are to go by themselves: it is over, and nobody waits for its resume.
pub(super) fn is_due(job: &Job) -> bool {
    job.status.is_over() && job.status != JobStatus::Crashed
}

impl Derived {
    /// The jobs whose cleanup is due and was never entered.
    ///
    /// # Errors
    /// What the system says of the completed ones.
    pub fn missing<'a>(&mut self, dir: &StateDir, state: &'a QueueState) -> Result<Vec<&'a Job>, DiskError> {
        self.look_at_new(state);
        if self.asking.is_empty() {
            return Ok(Vec::new());
        }
        let known = match &mut self.known {
            Some(known) => known,
            slot => {
                let open = store::list(dir)?.into_iter().map(|r| r.cleanup_id);
                let over = completed(dir)?.into_iter().map(|c| c.cleanup.cleanup_id);
                slot.insert(open.chain(over).collect())
            }
        };
        let due = self.asking.iter().filter_map(|id| state.get(id)).filter(|j| is_due(j));
        Ok(due.filter(|job| !known.contains(&id_of(job))).collect())
    }

    fn look_at_new(&mut self, state: &QueueState) {
        let totals = state.totals();
        let entered = totals.enqueued + totals.restored;
        let jobs = state.jobs().len();
        // Jobs stand in the order in which they entered; when some left, the places moved.
        let only_new = (entered - self.entered.min(entered)) as usize == jobs.wrapping_sub(self.seen);
        let from = if only_new { self.seen } else { 0 };
        if from == 0 {
            self.asking.clear();
        }
        self.asking.extend(state.jobs().skip(from).filter(|j| asks(j)).map(|j| j.id.clone()));
        (self.seen, self.entered) = (jobs, entered);
    }

    /// Makes the file of every cleanup that is due; how many.
    ///
    /// # Errors
    /// What the system says; the rest is made the next time.
    pub fn enter_missing(
        &mut self,
        dir: &StateDir,
        state: &QueueState,
        by: &str,
    ) -> Result<usize, DiskError> {
        let now = dir.clock.now();
        let records: Vec<CleanupRecord> = self
            .missing(dir, state)?
            .into_iter()
            .map(|job| CleanupRecord {
                by: by.to_owned(),
                ..CleanupRecord::new(id_of(job), job, Source::Auto, now)
            })
            .collect();
        for record in &records {
            store::enter(dir, record)?;
            self.known.get_or_insert_default().insert(record.cleanup_id.clone());
        }
        Ok(records.len())
    }
}
