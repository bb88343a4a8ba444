//! The input of a status.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::durable::DiskError;
use crate::findings::Finding;
use crate::jobs::{FreshnessLimits, StartsHeld};
use crate::losses::{LossCheck, Losses};
use crate::queue::{JobId, Queue};
use crate::recovery::{DegradedResource, HistoryError, RecoveryRecord, Snapshot};
use crate::startup::SafeMode;
use crate::state::{StateDir, Timestamp};

/// The daemon that lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct DaemonStatus {
    pub pid: u32,
    pub started_at: Timestamp,
    /// Whether it has not recovered and starts no job.
    pub safe_mode: bool,
    /// Where it listens.
    pub address: Option<String>,
    pub socket: Option<PathBuf>,
    /// How often its loop broke off and was begun again.
    pub loop_restarts: u32,
}

/// The input of a status.
pub struct Sources<'a> {
    /// The state directory.
    pub dir: &'a StateDir,
    /// The queue.
    pub queue: &'a Queue,
    /// The recovery that runs, or ran last.
    pub current: Option<&'a Snapshot>,
    /// The last recovery that came to its end.
    pub last: Option<&'a RecoveryRecord>,
    /// Why the records of past recoveries could not be read.
    pub unreadable: &'a [&'a HistoryError],
    /// The daemon that lives.
    pub daemon: Option<DaemonStatus>,
    /// The undelivered deliveries; `None` when they cannot be read.
    pub webhooks: Option<&'a crate::webhooks::Survey>,
    /// The limits at which a heartbeat is old.
    pub limits: FreshnessLimits,
    /// Repositories that cannot be used now, with the reason.
    pub unavailable: &'a [DegradedResource],
    /// The findings about the open cleanups; `None` when they cannot be listed.
    pub cleanups: Option<&'a [Finding]>,
    /// The known losses, and the mutes.
    pub losses: &'a Losses,
    /// The losses that the files of the logs show.
    pub look: &'a LossCheck,
    /// The crash loop that keeps jobs from being started.
    pub safe_mode: Option<&'a SafeMode>,
    /// Why the startups cannot be read.
    pub startups_unreadable: Option<&'a DiskError>,
    /// Why a living scheduler starts no job.
    pub starts_held: Option<&'a StartsHeld>,
    /// How long ago the daemon's loop last ran a round.
    pub last_turn: Option<Duration>,
    /// Jobs that were claimed and have not begun, with the milliseconds since the claim.
    pub hanging_starts: &'a [(JobId, i64)],
}

/// The reason of an unavailable repository that `repair locks` makes available.
pub(super) const METADATA_DAMAGED: &str =
    "its lock's metadata cannot be understood, so nobody can say who holds it";
