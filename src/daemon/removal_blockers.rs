//! References that block the removal of ended jobs, and the cleanups that the jobs need before.

use std::cell::OnceCell;

use crate::cleanup::{
    CleanupRecord, CleanupRequest, CleanupSettings, CleanupStatus, CreateRefused, Created, KnownCleanups,
    Left, Leftovers, Source, create_beside,
};
use crate::locks::{LockHolder, LockState, MetadataRead, read_metadata};
use crate::prune::KeptJob;
use crate::queue::{Job, JobId, JobStatus};
use crate::state::StateDir;
use crate::webhooks::{DeliveryLog, undelivered};

/// The code of a job that stays until it is cleaned up.
const CLEANUP_PENDING: &str = "job-cleanup-pending";

/// References that block the removal of ended jobs. Deliveries are derived from the jobs in the queue, so
/// undelivered ones need their jobs. The delivery log, the cleanups and the Docker engine are read once:
/// later changes only keep a job longer.
pub(super) struct RemovalBlockers<'a> {
    dir: &'a StateDir,
    cleanup: &'a CleanupSettings,
    leftovers: Leftovers<'a>,
    deliveries: OnceCell<Option<DeliveryLog>>,
    cleanups: OnceCell<Option<KnownCleanups>>,
}

/// The cleanup that an ended job needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CleanupNeed {
    /// The cleanup is done, or the job left nothing but files.
    Met,
    /// No cleanup was entered; why there must be one.
    Missing(String),
    /// The cleanup is to be done, or waits for its next try; its id, and its status in words.
    Open(String, String),
    /// The cleanup is parked; its id, and the reason.
    Parked(String, String),
    /// It is unknown whether the job needs a cleanup; the reason.
    Unknown(String),
}

impl<'a> RemovalBlockers<'a> {
    /// For the jobs of a state directory.
    pub(crate) fn new(dir: &'a StateDir, cleanup: &'a CleanupSettings) -> RemovalBlockers<'a> {
        let leftovers = Leftovers::new(dir, cleanup);
        RemovalBlockers { dir, cleanup, leftovers, deliveries: OnceCell::new(), cleanups: OnceCell::new() }
    }

    /// Returns why an ended job must not be removed yet: a code and the reason in words.
    pub(crate) fn of(&self, job: &Job) -> Option<(&'static str, String)> {
        let Ok(spec) = job.spec() else {
            return Some(("job-of-later-version", "what it was to do cannot be understood".to_owned()));
        };
        if !spec.callbacks.is_empty() && self.undelivered(job) > 0 {
            return Some(("job-callback-pending", "its callbacks are not delivered yet".to_owned()));
        }
        if let Some(held) = lock_of(self.dir, job) {
            return Some(held);
        }
        let detail = match self.cleanup_of(job) {
            CleanupNeed::Met => return None,
            CleanupNeed::Missing(why) => format!("its cleanup is not done yet: {why}"),
            CleanupNeed::Open(id, how) => format!("its cleanup {id} is not over: {how}"),
            CleanupNeed::Parked(id, why) => {
                format!("its cleanup {id} is parked{why}; see: recoveryctl retry cleanup {id}")
            }
            CleanupNeed::Unknown(why) => format!("what it left cannot be told: {why}"),
        };
        Some((CLEANUP_PENDING, detail))
    }

    /// Returns the cleanup that an ended job needs. Changes nothing.
    pub(crate) fn cleanup_of(&self, job: &Job) -> CleanupNeed {
        let Some(known) = self.cleanups.get_or_init(|| KnownCleanups::read(self.dir).ok()) else {
            return CleanupNeed::Unknown("the cleanups cannot be read".to_owned());
        };
        if let Some(open) = known.open_of(job) {
            let is_parked = open.status(true) == CleanupStatus::Parked;
            let (id, how) = (open.cleanup_id.clone(), told(open));
            return if is_parked { CleanupNeed::Parked(id, how) } else { CleanupNeed::Open(id, how) };
        }
        if known.is_over(job) {
            return CleanupNeed::Met;
        }
        let is_asked = job.spec().is_ok_and(|spec| spec.auto_cleanup);
        if is_asked && job.status != JobStatus::Crashed {
            return CleanupNeed::Missing("it was submitted with --auto-cleanup".to_owned());
        }
        match self.leftovers.of(job) {
            Left::OnlyFiles => CleanupNeed::Met,
            Left::Something(what) => CleanupNeed::Missing(what),
            Left::Unknown(why) => CleanupNeed::Unknown(why),
        }
    }

    /// Enters a cleanup for each of the jobs that have none and need one; returns the ids of all open ones.
    /// Their results are read again on demand.
    pub(crate) fn enter_cleanups<'j>(
        &mut self,
        jobs: impl Iterator<Item = &'j Job>,
    ) -> Result<Vec<String>, CreateRefused> {
        let mut ids = Vec::new();
        for job in jobs {
            match self.cleanup_of(job) {
                CleanupNeed::Met | CleanupNeed::Parked(..) | CleanupNeed::Unknown(_) => {}
                CleanupNeed::Open(id, _) => ids.push(id),
                CleanupNeed::Missing(_) => {
                    let Some(Some(known)) = self.cleanups.get_mut() else { continue };
                    let request = CleanupRequest { job, source: Source::Pruned, actor: &self.cleanup.actor };
                    match create_beside(known, self.dir, &request)? {
                        Created::New(id) | Created::UnderWay(id) => ids.push(id),
                    }
                }
            }
        }
        self.cleanups = OnceCell::new();
        Ok(ids)
    }

    /// Returns how many of the job's deliveries have not arrived; all count when that is unknown.
    fn undelivered(&self, job: &Job) -> usize {
        let log = self.deliveries.get_or_init(|| DeliveryLog::open(self.dir).ok());
        log.as_ref().map_or(usize::MAX, |log| {
            let state = log.state();
            undelivered(self.dir, state, state.endpoints(), job)
        })
    }
}

/// Whether a job stays because it needs a cleanup.
pub(super) fn waits_for_cleanup(kept: &KeptJob) -> bool {
    is_for_cleanup(&kept.code)
}

/// Whether this is the code of a job that waits for its cleanup.
pub(super) fn is_for_cleanup(code: &str) -> bool {
    code == CLEANUP_PENDING
}

/// Returns a code and the reason in words when the repository's lock is in the job's name, or may be.
fn lock_of(dir: &StateDir, job: &Job) -> Option<(&'static str, String)> {
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

fn told(cleanup: &CleanupRecord) -> String {
    let errors: Vec<&str> =
        cleanup.phases.iter().filter(|p| !p.status.is_over()).filter_map(|p| p.error.as_deref()).collect();
    let why = errors.first().map(|e| format!(": {e}")).unwrap_or_default();
    match cleanup.status(true) {
        CleanupStatus::Parked => why,
        CleanupStatus::Waiting => format!("it is tried again later{why}"),
        _ => "it is to be done".to_owned(),
    }
}
