//! The present and past cleanups, by the end of a job that each belongs to.

use std::collections::{HashMap, HashSet};

use super::record::CleanupRecord;
use super::{completed, store};
use crate::durable::DiskError;
use crate::queue::{Job, JobId};
use crate::state::names::{LONGEST_ENCODED, encode};
use crate::state::{StateDir, Timestamp};

/// The longest part of an id, in a file name, that comes from the job's id; attempt and number follow it.
const LONGEST: usize = LONGEST_ENCODED - 30;

/// An attempt of a job. After a job was pruned its id may be given again: the time of submission
/// distinguishes the two.
type Attempt = (JobId, u32, Timestamp);

fn of_job(job: &Job) -> Attempt {
    (job.id.clone(), job.attempt, job.submitted_at)
}

fn of_record(record: &CleanupRecord) -> Attempt {
    (record.job_id.clone(), record.attempt, record.submitted_at)
}

/// The cleanups of a state directory at one moment.
#[derive(Debug, Default)]
pub(crate) struct KnownCleanups {
    ids: HashSet<String>,
    over: HashSet<Attempt>,
    open: HashMap<Attempt, CleanupRecord>,
}

impl KnownCleanups {
    /// Reads the cleanups. Changes nothing.
    pub(crate) fn read(dir: &StateDir) -> Result<KnownCleanups, DiskError> {
        let mut known = KnownCleanups::default();
        // The open cleanups are read first: one that completes in between is then found twice, and not
        // missed.
        for record in store::list(dir)? {
            known.enter(record);
        }
        for over in completed(dir)?.into_iter().map(|c| c.cleanup) {
            // A cleanup that a later attempt overtook has removed nothing: a job that was resumed and then
            // cancelled in the queue is over in the same attempt again.
            if !over.overtaken {
                known.over.insert(of_record(&over));
            }
            known.ids.insert(over.cleanup_id);
        }
        Ok(known)
    }

    /// Whether everything that the job's present attempt left was removed.
    pub(crate) fn is_over(&self, job: &Job) -> bool {
        self.over.contains(&of_job(job))
    }

    /// Returns the cleanup of the job's present attempt that is not over.
    pub(crate) fn open_of(&self, job: &Job) -> Option<&CleanupRecord> {
        self.open.get(&of_job(job)).filter(|record| !record.overtaken)
    }

    /// Whether there is, or was, a cleanup of the job's present attempt.
    pub(super) fn has(&self, job: &Job) -> bool {
        let attempt = of_job(job);
        self.over.contains(&attempt) || self.open.contains_key(&attempt)
    }

    /// Returns an id that no cleanup has or had: that of the job and its attempt, and from the second on a
    /// number. Something may have been left, or made, since the previous cleanup was over.
    pub(super) fn free_id(&self, job: &Job) -> String {
        let first = format!("{}.{}", in_a_file_name(job), job.attempt);
        let mut id = first.clone();
        for n in 2u64.. {
            if !self.ids.contains(&id) {
                break;
            }
            // No job's first cleanup has an id that ends like this.
            id = format!("{first}_{n}");
        }
        id
    }

    pub(super) fn enter(&mut self, record: CleanupRecord) {
        self.ids.insert(record.cleanup_id.clone());
        self.open.insert(of_record(&record), record);
    }

    /// Forgets a job that goes on: its cleanup says nothing about its next end.
    pub(super) fn forget(&mut self, job: &Job) {
        let attempt = of_job(job);
        self.over.remove(&attempt);
        self.open.remove(&attempt);
    }
}

/// Returns the job's id; a long one is cut and made unique by its position, so that the cleanup's id fits in
/// a file name too.
fn in_a_file_name(job: &Job) -> String {
    let id = job.id.to_string();
    if encode(&id).is_ok_and(|name| name.len() <= LONGEST) {
        return id;
    }
    let place = format!("_{}-{}", job.place.seq, job.place.index);
    let mut cut = String::new();
    for letter in id.chars() {
        if encode(&format!("{cut}{letter}{place}")).map_or(true, |name| name.len() > LONGEST) {
            break;
        }
        cut.push(letter);
    }
    cut + &place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cleanup::record::Source;
    use crate::jobs::samples;
    use crate::queue::JobSpec;

    #[test]
    fn known_cleanups_reused_id_is_another_job() {
        let first = samples::queued("a", &JobSpec::default());
        let mut second = samples::queued("a", &JobSpec::default());
        second.submitted_at = first.submitted_at.plus_millis(1);
        let mut known = KnownCleanups::default();
        let id = known.free_id(&first);
        known.enter(CleanupRecord::new(id.clone(), &first, Source::Auto, first.submitted_at));
        assert!(known.has(&first) && !known.has(&second));
        assert_eq!((id.as_str(), known.free_id(&second).as_str()), ("a.1", "a.1_2"));
        let long = samples::queued(&"ä".repeat(LONGEST_ENCODED / 6), &JobSpec::default());
        let id = known.free_id(&long);
        assert!(encode(&id).is_ok_and(|name| name.len() < LONGEST_ENCODED) && id.starts_with('ä'), "{id}");
        known.forget(&first);
        assert!(!known.has(&first) && known.free_id(&first) == "a.1_2");
    }
}
