//! The daemon's settings, from the configuration.

use std::collections::BTreeSet;

use recovery::daemon::DaemonConfig;
use recovery::startup::StartedBy;
use recovery::state::StateDir;

use crate::context::Context;
use crate::error::CliError;
use crate::settings::{pauses, recovering, retention, scheduling};
use recovery::operations::settings::delivering;
use recovery::operations::settings::{cleaning, scanning_at_start};

pub(crate) fn config(
    context: &mut Context,
    dir: &StateDir,
    workers: Option<usize>,
) -> Result<DaemonConfig, CliError> {
    let scheduler = scheduling(context, dir, workers, BTreeSet::new())?;
    let context = context.operation()?;
    let settings = context.settings();
    Ok(DaemonConfig {
        recovery: recovering(&context, StartedBy::Daemon, false)?,
        pauses: pauses(settings),
        retention: Some(retention(settings)),
        drain_timeout: settings.daemon.drain_timeout,
        scheduler,
        webhooks: delivering(settings)?,
        cleanup: cleaning(&context),
        orphans: scanning_at_start(&context),
    })
}
