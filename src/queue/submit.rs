//! Enters jobs: appends without reading the queue, unless an id chosen by the user may be taken.
//!
//! An id chosen by the user is reserved by its workspace, which is made durable before the record is appended,
//! and `queue/names.lock` is held from the check to the sync. So the usual case, a new name, costs only a check
//! in one folder, whatever the queue holds. A name whose workspace or record exists may belong to a job, or be
//! the trace of a killed submission: then the queue is read. The queue is also read for ids of the form that this
//! program generates, because such jobs get their workspace later.

use std::collections::HashSet;
use std::path::Path;

use super::record::{Operation, Submission};
use super::request::CheckedRequest;
use super::store::{Queue, QueueError, append};
use crate::audit::Actor;
use crate::durable::{DiskError, FileLock, IoContext};
use crate::logging::events;
use crate::state::JobId;
use crate::state::StateDir;
use crate::state::names::BadName;
use tracing::debug;

/// A job that is in the queue, durably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    pub job: JobId,
    /// The sequence number of its record.
    pub seq: u64,
}

/// The id that a request gives belongs to another job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is a job '{0}' already")]
pub struct JobExists(pub JobId);

/// Why jobs could not be entered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// An id that cannot become a file name.
    #[error("an id cannot be used")]
    Name(#[from] BadName),
}

impl From<DiskError> for SubmitError {
    fn from(error: DiskError) -> SubmitError {
        QueueError::from(error).into()
    }
}

/// Enters jobs. Once it had to read the queue, it keeps it for the next call.
#[derive(Debug)]
pub struct Submitter<'a> {
    dir: &'a StateDir,
    actor: &'a Actor,
    queue: Option<Queue>,
}

/// All of a batch's jobs; or the indexes of the requests whose ids are taken.
pub type Together = Result<Vec<Entered>, Vec<(usize, JobExists)>>;

fn tell(job: &JobId, seq: u64) {
    debug!(event = events::JOB_SUBMITTED, job_id = %job, seq, "job {job} was submitted");
}

impl<'a> Submitter<'a> {
    /// Reads nothing yet.
    pub fn new(dir: &'a StateDir, actor: &'a Actor) -> Submitter<'a> {
        Submitter { dir, actor, queue: None }
    }

    /// Enters each job whose id is not taken, all with one sync; the answers are in the order of the
    /// requests.
    ///
    /// # Errors
    /// Nothing is acknowledged then.
    pub fn enter(
        &mut self,
        requests: Vec<CheckedRequest>,
    ) -> Result<Vec<Result<Entered, JobExists>>, SubmitError> {
        // The lock is held until the record is synced, so that no other process finds the same id free.
        let _names = self.lock_names(&requests)?;
        let taken = self.taken(&requests)?;
        let is_free = |at: &usize| !taken.contains(at);
        // Workspaces come before the record: a job in the log must never be without its id's reservation. A kill
        // in between leaves an empty folder, which a startup removes.
        self.reserve(requests.iter().enumerate().filter(|(at, _)| is_free(at)).map(|(_, r)| r))?;
        let mut answers: Vec<Result<Entered, JobExists>> = Vec::with_capacity(requests.len());
        let mut operations = Vec::with_capacity(requests.len());
        for (at, request) in requests.into_iter().enumerate() {
            let job = request.submission.job.clone();
            if is_free(&at) {
                operations.push(Operation::Submit(request.submission));
                answers.push(Ok(Entered { job, seq: 0 }));
            } else {
                answers.push(Err(JobExists(job)));
            }
        }
        if !operations.is_empty() {
            let numbers = append(self.dir, self.actor, &operations)?;
            for (entered, seq) in answers.iter_mut().flatten().zip(numbers) {
                entered.seq = seq;
                tell(&entered.job, seq);
            }
        }
        Ok(answers)
    }

    /// Enters all jobs as one record, or none when an id is taken: then the answer has the indexes of those
    /// requests.
    ///
    /// # Errors
    /// Nothing is acknowledged then.
    pub fn enter_together(&mut self, requests: Vec<CheckedRequest>) -> Result<Together, SubmitError> {
        let _names = self.lock_names(&requests)?;
        let taken = self.taken(&requests)?;
        if !taken.is_empty() {
            let named = |at: usize| (at, JobExists(requests[at].submission.job.clone()));
            let mut taken: Vec<(usize, JobExists)> = taken.into_iter().map(named).collect();
            taken.sort_by_key(|(at, _)| *at);
            return Ok(Err(taken));
        }
        if requests.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        self.reserve(&requests)?;
        let jobs: Vec<Submission> = requests.into_iter().map(|r| r.submission).collect();
        let ids: Vec<JobId> = jobs.iter().map(|s| s.job.clone()).collect();
        let numbers = append(self.dir, self.actor, &[Operation::SubmitBatch { jobs }])?;
        let seq = numbers.first().copied().unwrap_or_default();
        ids.iter().for_each(|job| tell(job, seq));
        Ok(Ok(ids.into_iter().map(|job| Entered { job, seq }).collect()))
    }

    /// Whether a job has this id; for a look before anything is entered.
    pub(crate) fn is_taken(&mut self, id: &JobId) -> Result<bool, SubmitError> {
        let paths = self.dir.paths.job(&id.to_string())?;
        let is_new = || -> Result<bool, DiskError> {
            Ok(!may_exist(&paths.workspace)? && !may_exist(&paths.attempts)? && !may_exist(&paths.record)?)
        };
        if !id.is_uuid() && is_new()? {
            return Ok(false);
        }
        if let Some(queue) = &mut self.queue {
            queue.refresh()?;
        }
        let queue = match self.queue.take() {
            Some(queue) => queue,
            None => Queue::open(self.dir)?,
        };
        Ok(self.queue.insert(queue).state().get(id).is_some())
    }

    /// Keeps other processes from entering a name between the check and the append.
    fn lock_names(&self, requests: &[CheckedRequest]) -> Result<Option<FileLock>, SubmitError> {
        if !requests.iter().any(|r| r.is_named) {
            return Ok(None);
        }
        let dir = self.dir;
        let lock = FileLock::acquire(&dir.disk, &dir.paths.names_lock(), dir.lock_wait);
        Ok(Some(lock.map_err(QueueError::from)?))
    }

    /// The indexes of the requests whose ids are taken, by a job or by an earlier request.
    fn taken(&mut self, requests: &[CheckedRequest]) -> Result<HashSet<usize>, SubmitError> {
        let (mut taken, mut seen) = (HashSet::new(), HashSet::new());
        for (at, request) in requests.iter().enumerate().filter(|(_, r)| r.is_named) {
            let id = &request.submission.job;
            if !seen.insert(id) || self.is_taken(id)? {
                taken.insert(at);
            }
        }
        Ok(taken)
    }

    /// Makes the workspaces of the names that users gave, with one sync for all.
    fn reserve<'r>(&self, requests: impl IntoIterator<Item = &'r CheckedRequest>) -> Result<(), SubmitError> {
        let (disk, jobs) = (&self.dir.disk, self.dir.paths.jobs());
        let mut made = false;
        for request in requests {
            let id = &request.submission.job;
            if !request.is_named || id.is_uuid() {
                continue;
            }
            // The process that makes the folder syncs its name. If that process died before the sync, the
            // name is gone: create it again.
            if !made && !jobs.is_dir() {
                disk.ensure_dir(&jobs)?;
            }
            match disk.create_dir(&self.dir.paths.job(&id.to_string())?.workspace) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                other => other?,
            }
            made = true;
        }
        if made {
            disk.sync_dir(&jobs)?;
        }
        Ok(())
    }
}

/// Whether this name exists; an error when that cannot be examined, never "free".
fn may_exist(path: &Path) -> Result<bool, DiskError> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).context("look at", path),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use std::collections::BTreeMap;

    use super::*;
    use crate::durable::Disk;
    use crate::queue::{CrashPolicy, JobRequest, RequestDefaults};
    use crate::state::Clock;

    fn place() -> (tempfile::TempDir, StateDir) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        (folder, StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap())
    }

    fn request(id: Option<&str>) -> CheckedRequest {
        let request = JobRequest {
            command: vec!["true".to_owned()],
            id: id.map(str::to_owned),
            ..JobRequest::default()
        };
        let defaults = RequestDefaults {
            on_crash: CrashPolicy::Hold,
            max_attempts: 3,
            base: None,
            env: BTreeMap::new(),
        };
        request.check(&defaults).unwrap()
    }

    fn ids(dir: &StateDir) -> Vec<String> {
        Queue::open(dir).unwrap().state().jobs().map(|j| j.id.to_string()).collect()
    }

    #[test]
    fn submit_id_is_given_once() {
        let (_folder, dir) = place();
        let actor = Actor::default();
        let mut submitter = Submitter::new(&dir, &actor);
        let answers =
            submitter.enter(vec![request(Some("a")), request(Some("a")), request(Some("b"))]).unwrap();
        let seqs: Vec<_> =
            answers.iter().map(|a| a.as_ref().map(|e| e.seq).map_err(ToString::to_string)).collect();
        assert_eq!(seqs, [Ok(1), Err("there is a job 'a' already".to_owned()), Ok(2)]);
        let again = Submitter::new(&dir, &actor).enter(vec![request(Some("b"))]).unwrap();
        assert_eq!(again, [Err(JobExists("b".parse().unwrap()))]);
        assert_eq!(ids(&dir), ["a", "b"]);
    }

    #[test]
    fn submit_generated_id_form_is_checked_in_queue() {
        let (_folder, dir) = place();
        let actor = Actor::default();
        let mut submitter = Submitter::new(&dir, &actor);
        let id = submitter.enter(vec![request(None)]).unwrap()[0].clone().unwrap().job.to_string();
        assert!(submitter.enter(vec![request(Some(&id))]).unwrap()[0].is_err());
        assert_eq!(ids(&dir), [id]);
    }

    #[test]
    fn submit_after_killed_submission() {
        let (_folder, dir) = place();
        let actor = Actor::default();
        std::fs::create_dir(dir.paths.job("a").unwrap().workspace).unwrap();
        assert!(Submitter::new(&dir, &actor).enter(vec![request(Some("a"))]).unwrap()[0].is_ok());
        assert_eq!(ids(&dir), ["a"]);
    }

    #[test]
    fn submit_together_is_one_record() {
        let (_folder, dir) = place();
        let actor = Actor::default();
        let mut submitter = Submitter::new(&dir, &actor);
        let entered = submitter.enter_together(vec![request(Some("a")), request(None)]).unwrap().unwrap();
        assert_eq!(entered.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 1]);
        let refused = submitter.enter_together(vec![request(Some("b")), request(Some("a"))]).unwrap();
        assert_eq!(refused.unwrap_err(), [(1, JobExists("a".parse().unwrap()))]);
        assert_eq!(ids(&dir).len(), 2);
        assert!(!dir.paths.job("b").unwrap().workspace.exists());
    }
}
