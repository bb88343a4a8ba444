//! What `recover`, `work` and `daemon` have in common: settings for the library, and recovering with
//! progress.

use std::collections::BTreeSet;

use recovery::daemon::SchedulerSettings;
use recovery::jobs::RecoverSettings;
use recovery::queue::{Actor, JobId};
use recovery::recovery::Settings;
use recovery::startup::StartedBy;
use recovery::state::StateDir;
use recovery::webhooks;

use crate::context::Context;
use crate::error::CliError;
use crate::internal::supervisor_command;
use crate::surroundings::environment_of_jobs;
pub(crate) use recovery::operations::settings::{judging, pauses, recovering, retention, run_options};

/// How a recovery is assembled where no configuration counts: with the usual limits.
pub(crate) fn recovery_settings(actor: &Actor, by: StartedBy) -> Settings {
    Settings {
        by,
        jobs: RecoverSettings::new(actor.clone()),
        write_records: true,
        webhooks: webhooks::Settings::default(),
    }
}

/// How jobs are run.
pub(crate) fn scheduling(
    context: &mut Context,
    dir: &StateDir,
    workers: Option<usize>,
    only: BTreeSet<JobId>,
) -> Result<SchedulerSettings, CliError> {
    let jobs = judging(&context.operation()?);
    let settings = context.settings()?;
    Ok(SchedulerSettings {
        workers: workers.unwrap_or(settings.daemon.workers),
        supervisor: supervisor_command(dir, &settings.jobs),
        environment: environment_of_jobs(&settings.jobs, |name| std::env::var_os(name)),
        only,
        poll: settings.daemon.poll,
        checkpoint_records: settings.queue.checkpoint_records,
        checkpoint_interval: settings.queue.checkpoint_interval,
        jobs,
    })
}
