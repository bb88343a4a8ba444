//! `jobs prune`: first the cleanups that removals need, then the removals.

use std::cell::RefCell;
use std::collections::HashSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::removal_blockers::{CleanupNeed, RemovalBlockers, waits_for_cleanup};
use crate::cleanup::{
    Cleaner, CleanupError, CleanupRecord, CleanupSettings, CleanupStatus, CreateRefused, list,
};
use crate::durable::DiskError;
use crate::jobs::RecoverSettings;
use crate::prune::{JobRetention, PruneError, PruneReport, prune, would_prune};
use crate::queue::{Job, JobId, Queue};
use crate::state::StateDir;

/// The pause between two looks whether another process has completed the cleanups.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The cleanup of a job that is to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PruneCleanup {
    /// Whose.
    pub job_id: JobId,
    /// `None` in a dry run, when it was not entered before.
    pub cleanup_id: Option<String>,
    /// Its status; `pending` in a dry run.
    pub status: CleanupStatus,
    /// Why there is one, or its problem.
    pub detail: Option<String>,
}

/// The result of a prune.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CleanedPrune {
    #[serde(flatten)]
    pub report: PruneReport,
    /// Cleanups that were done for it, or tried.
    pub cleanups: Vec<PruneCleanup>,
}

/// Why a prune could not go on. Earlier removals stand.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CleanedPruneError {
    /// Jobs could not be removed.
    #[error(transparent)]
    Prune(#[from] PruneError),
    /// A cleanup could not be entered.
    #[error(transparent)]
    Create(#[from] CreateRefused),
    /// Cleanups could not be worked on.
    #[error(transparent)]
    Cleanup(#[from] CleanupError),
}

/// Removes every job that no rule keeps and nothing refers to. Jobs that left more than files are cleaned up
/// first, at once, with one try each; a job whose cleanup does not complete stays.
///
/// # Errors
/// [`CleanedPruneError`]; the next prune goes on.
pub(crate) fn prune_cleaned(
    dir: &StateDir,
    queue: &mut Queue,
    retention: &JobRetention,
    cleanup: &CleanupSettings,
    settings: &RecoverSettings,
    stop: &(dyn Fn() -> bool + Sync),
    told: &(dyn Fn(&CleanupRecord) + Sync),
) -> Result<CleanedPrune, CleanedPruneError> {
    let mut needs = RemovalBlockers::new(dir, cleanup);
    let looked = would_prune(dir, queue, retention, &|job| needs.of(job), settings);
    let pending = looked.kept.iter().filter(|kept| waits_for_cleanup(kept));
    let jobs = pending.filter_map(|kept| queue.state().get(&kept.job_id.parse().ok()?));
    let ids = needs.enter_cleanups(jobs)?;
    let cleanups = if ids.is_empty() { Vec::new() } else { work(dir, &ids, cleanup, stop, told)? };
    let report = prune(dir, queue, retention, &|job| needs.of(job), settings)?;
    Ok(CleanedPrune { report, cleanups })
}

/// Returns what [`prune_cleaned`] would do if every cleanup succeeded. Changes nothing.
pub(crate) fn would_prune_cleaned(
    dir: &StateDir,
    queue: &Queue,
    retention: &JobRetention,
    cleanup: &CleanupSettings,
    settings: &RecoverSettings,
) -> CleanedPrune {
    let needs = RemovalBlockers::new(dir, cleanup);
    let cleanups = RefCell::new(Vec::new());
    let needed = |job: &Job| {
        let need = needs.of(job)?;
        let (cleanup_id, why) = match needs.cleanup_of(job) {
            CleanupNeed::Missing(why) => (None, why),
            CleanupNeed::Open(id, how) => (Some(id), how),
            CleanupNeed::Met | CleanupNeed::Parked(..) | CleanupNeed::Unknown(_) => return Some(need),
        };
        if !super::removal_blockers::is_for_cleanup(need.0) {
            return Some(need);
        }
        let (job_id, status) = (job.id.clone(), CleanupStatus::Pending);
        cleanups.borrow_mut().push(PruneCleanup { job_id, cleanup_id, status, detail: Some(why) });
        None
    };
    let report = would_prune(dir, queue, retention, &needed, settings);
    CleanedPrune { report, cleanups: cleanups.into_inner() }
}

/// Works on these cleanups until each has ended, or makes no progress now. When another process works on
/// cleanups, it does them.
fn work(
    dir: &StateDir,
    ids: &[String],
    settings: &CleanupSettings,
    stop: &(dyn Fn() -> bool + Sync),
    told: &(dyn Fn(&CleanupRecord) + Sync),
) -> Result<Vec<PruneCleanup>, CleanedPruneError> {
    let queue = Queue::open(dir).map_err(CleanupError::from)?;
    let cleaner = Cleaner::new(dir.clone(), queue, settings.clone(), stop);
    let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
    loop {
        match cleaner.work_on_these(ids, told) {
            Ok(worked) => return Ok(worked.iter().map(outcome).collect()),
            Err(CleanupError::Busy { .. }) => {}
            Err(e) => return Err(e.into()),
        }
        let open: Vec<CleanupRecord> = list_of(dir, &wanted)?;
        // A cleanup that was begun and is not under way has been tried by the process that works on cleanups.
        let is_tried = |r: &CleanupRecord| r.begun_at.is_some() && !r.under_way;
        if stop() || open.iter().all(is_tried) {
            return Ok(open.iter().map(outcome).collect());
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

fn list_of(dir: &StateDir, wanted: &HashSet<&str>) -> Result<Vec<CleanupRecord>, CleanupError> {
    let open: Result<Vec<CleanupRecord>, DiskError> = list(dir);
    Ok(open?.into_iter().filter(|r| wanted.contains(r.cleanup_id.as_str())).collect())
}

fn outcome(record: &CleanupRecord) -> PruneCleanup {
    PruneCleanup {
        job_id: record.job_id.clone(),
        cleanup_id: Some(record.cleanup_id.clone()),
        status: record.status(false),
        detail: record.phases.iter().filter(|p| !p.status.is_over()).find_map(|p| p.error.clone()),
    }
}
