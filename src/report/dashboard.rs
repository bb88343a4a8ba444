//! Everything at one moment: what a dashboard shows.
//!
//! Queue, recovery and startups are read once, and every part is made from them, so the counts of `status`
//! are those of `queue`. Locks, processes and cleanups are read right after that. Each of `cleanup`,
//! `orphans` and `webhooks` is `null` when it cannot be read: its own report says why, and the rest is shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cleanup::CleanupState;
use super::locks::ActiveLocks;
use super::orphans::OrphanTotals;
use super::page::Page;
use super::queue::{HEAD, QueueStatus, findings, last_recovered};
use super::reattachment::JobsStatus;
use super::recovery::Phases;
use super::startup::StartupDetection;
use super::status::{DaemonStatus, Gathered, Status};
use super::webhooks::DeliveryTotals;
use super::{held_repositories, with_liveness};
use crate::durable::DiskError;
use crate::jobs::FreshnessLimits;
use crate::recovery::PhaseGraph;
use crate::state::Timestamp;

/// See the module.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
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
    pub cleanup: Option<CleanupState>,
    /// Of the last scan's plan.
    pub orphans: Option<OrphanTotals>,
    /// Of what is undelivered.
    pub webhooks: Option<DeliveryTotals>,
}

/// How many jobs, locks and cleanups a dashboard shows; it also has their totals.
const SHOWN: usize = 100;

impl Dashboard {
    /// Assembles a dashboard.
    pub(crate) fn new(
        gathered: &Gathered,
        daemon: Option<DaemonStatus>,
        declared: &PhaseGraph,
        limits: FreshnessLimits,
    ) -> Result<Dashboard, DiskError> {
        let (dir, queue) = (&gathered.dir, &gathered.queue);
        let (state, at) = (queue.state(), dir.clock.now());
        let page = Page { limit: Some(SHOWN), ..Page::default() };
        let held = held_repositories(dir, state)?;
        let locks = with_liveness(dir, state, |liveness| crate::locks::list(dir, liveness))?;
        // Without a cursor, there is none that could be invalid.
        let locks = ActiveLocks::new(dir, locks, state, &page).unwrap_or_default().with_heads_of_lines(HEAD);
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
            cleanup: CleanupState::read(dir, &page).ok(),
            orphans: OrphanTotals::read(dir).ok(),
            webhooks: gathered.survey().map(DeliveryTotals::of),
        })
    }
}
