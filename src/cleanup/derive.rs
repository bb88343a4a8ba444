//! Derives from the queue alone which jobs need a cleanup.

use super::known::KnownCleanups;
use super::record::{CleanupRecord, Source};
use super::store;
use crate::durable::DiskError;
use crate::queue::{Job, JobId, JobStatus, QueueState};
use crate::state::StateDir;

/// Follows a queue: which of its jobs ask for a cleanup, and which of their cleanups were entered already. A
/// new value looks at every job once; after that it looks only at new jobs and, when the queue has changed,
/// at those that ask.
#[derive(Debug, Default)]
pub(crate) struct Derived {
    asking: Vec<JobId>,
    seen: usize,
    entered: u64,
    /// The number of a record at which no cleanup was missing.
    nothing_missing_at: Option<u64>,
    known: Option<KnownCleanups>,
}

fn asks(job: &Job) -> bool {
    // The spec is JSON that this program wrote; most jobs do not ask, so a million specs need not be parsed.
    memchr::memmem::find(job.raw_spec.as_bytes(), b"\"auto_cleanup\"").is_some()
        && job.spec().is_ok_and(|s| s.auto_cleanup)
}

/// Whether a job needs a cleanup: it asked for one, is over, and is not held for a resume.
fn is_due(job: &Job) -> bool {
    job.status.is_over() && job.status != JobStatus::Crashed
}

impl Derived {
    /// Returns the jobs whose cleanup is due and was never entered.
    pub(crate) fn missing<'a>(
        &mut self,
        dir: &StateDir,
        state: &'a QueueState,
    ) -> Result<Vec<&'a Job>, DiskError> {
        if self.nothing_missing_at == Some(state.last_seq()) {
            return Ok(Vec::new());
        }
        self.look_at_new(state);
        let mut missing = Vec::new();
        if !self.asking.is_empty() {
            let known = match &mut self.known {
                Some(known) => known,
                slot => slot.insert(KnownCleanups::read(dir)?),
            };
            for job in self.asking.iter().filter_map(|id| state.get(id)) {
                if !job.status.is_over() {
                    known.forget(job);
                } else if is_due(job) && !known.has(job) {
                    missing.push(job);
                }
            }
        }
        if missing.is_empty() {
            self.nothing_missing_at = Some(state.last_seq());
        }
        Ok(missing)
    }

    fn look_at_new(&mut self, state: &QueueState) {
        let totals = state.totals();
        let entered = totals.enqueued + totals.restored;
        let jobs = state.jobs().len();
        // Jobs are in order of entry; when some were removed, the indexes have changed.
        let only_new = (entered - self.entered.min(entered)) as usize == jobs.wrapping_sub(self.seen);
        let from = if only_new { self.seen } else { 0 };
        if from == 0 {
            self.asking.clear();
        }
        self.asking.extend(state.jobs().skip(from).filter(|j| asks(j)).map(|j| j.id.clone()));
        (self.seen, self.entered) = (jobs, entered);
    }

    /// Makes the file of every cleanup that is due; returns their number.
    ///
    /// # Errors
    /// The system's error; the rest is made the next time.
    pub(crate) fn enter_missing(
        &mut self,
        dir: &StateDir,
        state: &QueueState,
        by: &str,
    ) -> Result<usize, DiskError> {
        let now = dir.clock.now();
        let missing: Vec<Job> = self.missing(dir, state)?.into_iter().cloned().collect();
        let known = self.known.get_or_insert_default();
        for job in &missing {
            let record = CleanupRecord {
                by: by.to_owned(),
                ..CleanupRecord::new(known.free_id(job), job, Source::Auto, now)
            };
            store::enter(dir, &record)?;
            known.enter(record);
        }
        Ok(missing.len())
    }
}
