//! What the daemon works by, out of the configuration.

use std::collections::BTreeSet;

use recovery::daemon::DaemonConfig;
use recovery::startup::StartedBy;
use recovery::state::StateDir;

use crate::cleanup_wiring::{cleaning, scanning_at_start};
use crate::context::Context;
use crate::error::CliError;
use crate::settings::{delivering, pauses, recovering, retention, scheduling};

pub(crate) fn config(
    context: &mut Context,
    dir: &StateDir,
    workers: Option<usize>,
) -> Result<DaemonConfig, CliError> {
    Ok(DaemonConfig {
        recovery: recovering(context, StartedBy::Daemon, false)?,
        pauses: pauses(context)?,
        retention: Some(retention(context)?),
        drain_timeout: context.settings()?.daemon.drain_timeout,
        scheduler: scheduling(context, dir, workers, BTreeSet::new())?,
        webhooks: delivering(context)?,
        cleanup: cleaning(context)?,
        orphans: scanning_at_start(context)?,
    })
}
