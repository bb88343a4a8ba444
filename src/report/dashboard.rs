//! Everything at once, of one moment: what a dashboard shows.
//!
//! Queue, recovery and startups are read once, and every part is made of that: the counts of `status` are
//! those of `queue`. Locks and processes are looked at right after. `cleanup`, `orphans` and `webhooks` come
//! with the parts of the program that they tell of; a part that this version does not have is `null`.

use serde::{Deserialize, Serialize};

use super::locks::ActiveLocks;
use super::page::Page;
use super::queue::{QueueStatus, findings, last_recovered};
use super::reattachment::JobsStatus;
use super::recovery::Phases;
use super::startup::StartupDetection;
use super::status::{DaemonStatus, Gathered, Status};
use super::{held_repositories, with_liveness};
use crate::durable::DiskError;
use crate::jobs::FreshnessLimits;
use crate::recovery::PhaseGraph;
use crate::state::Timestamp;

/// See the module.
#[derive(Debug, Serialize, Deserialize)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct Dashboard {
    /// When it was read.
    pub at: Timestamp,
    /// The last record of the queue that it knows.
    pub last_seq: u64,
    pub status: Status,
    pub phases: Phases,
    pub queue: QueueStatus,
    pub jobs: JobsStatus,
    pub locks: ActiveLocks,
    pub startup: StartupDetection,
    /// Not in this version.
    pub cleanup: Option<()>,
    /// Not in this version.
    pub orphans: Option<()>,
    /// Not in this version.
    pub webhooks: Option<()>,
}

/// How many jobs and locks a dashboard shows; their totals are told.
const SHOWN: usize = 100;

impl Dashboard {
    /// Puts it together.
    ///
    /// # Errors
    /// When locks or startups cannot be looked at.
    pub fn new(
        gathered: &Gathered,
        daemon: Option<DaemonStatus>,
        declared: &PhaseGraph,
        limits: FreshnessLimits,
    ) -> Result<Dashboard, DiskError> {
        let (dir, queue) = (&gathered.dir, &gathered.queue);
        let (state, at) = (queue.state(), dir.clock.now());
        let page = Page { limit: Some(SHOWN), cursor: None };
        let held = held_repositories(dir, state)?;
        let locks = with_liveness(dir, state, |liveness| crate::locks::list(dir, liveness))?;
        // Without a cursor there is none that could be wrong.
        let locks = ActiveLocks::new(dir, locks, state, &page).unwrap_or_default();
        let jobs = JobsStatus::new(dir, state, gathered.last(), limits, &page).unwrap_or_default();
        Ok(Dashboard {
            at,
            last_seq: state.last_seq(),
            status: gathered.status(daemon, limits),
            phases: Phases::new(gathered.current.as_ref(), declared),
            queue: QueueStatus::new(
                queue,
                last_recovered(gathered.last()),
                &held,
                findings(queue.replayed()),
            ),
            jobs,
            locks,
            startup: StartupDetection::read(dir)?,
            cleanup: None,
            orphans: None,
            webhooks: None,
        })
    }
}
