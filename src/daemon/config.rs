//! A daemon's configuration, which can be replaced while it runs.

use std::time::Duration;

use super::scheduler::SchedulerSettings;
use crate::cleanup::CleanupSettings;
use crate::orphans::OrphanSettings;
use crate::prune::JobRetention;
use crate::recovery::Settings;
use crate::webhooks;

/// Daemon configuration; can be replaced while running.
#[derive(Debug, Clone)]
pub struct DaemonConfig {
    /// How the daemon recovers, and tries phases again.
    pub recovery: Settings,
    /// The pauses before a phase's second, third … try.
    pub pauses: Vec<Duration>,
    /// How the daemon runs jobs.
    pub scheduler: SchedulerSettings,
    /// How the daemon delivers.
    pub webhooks: webhooks::Settings,
    /// How the daemon cleans up.
    pub cleanup: CleanupSettings,
    /// How the daemon searches for orphans.
    pub orphans: OrphanSettings,
    /// Which ended jobs the daemon keeps; `None` for all.
    pub retention: Option<JobRetention>,
    /// How long a daemon that is told to end waits for running jobs.
    pub drain_timeout: Duration,
}
