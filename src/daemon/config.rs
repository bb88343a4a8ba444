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
    /// How it recovers, and tries phases again.
    pub recovery: Settings,
    /// The pauses before a phase's second, third … try.
    pub pauses: Vec<Duration>,
    /// How it runs jobs.
    pub scheduler: SchedulerSettings,
    /// How it delivers.
    pub webhooks: webhooks::Settings,
    /// How it cleans up.
    pub cleanup: CleanupSettings,
    /// How it looks for orphans.
    pub orphans: OrphanSettings,
    /// The ended jobs that it keeps; `None`: all.
    pub retention: Option<JobRetention>,
    /// How long a daemon that is told to end waits for running jobs.
    pub drain_timeout: Duration,
}
