//! From the configuration to what the stories take: who judges jobs and by which limits, how deliveries, cleanups and
//! scans are made, how a recovery is assembled.

mod cleaning;
mod delivering;

use std::time::Duration;

pub(crate) use self::cleaning::{archive_retention, keep_rules, scanning};
pub use self::cleaning::{cleaning, docker_client, scanning_at_start};
pub use self::delivering::delivering;
use super::context::Context;
use super::error::OperationError;
use crate::jobs::{Blame, FreshnessLimits, OnUnsupervised, RecoverSettings, RequeuePauses};
use crate::prune::JobRetention;
use crate::recovery::{Observer, RunOptions, Settings};
use crate::startup::StartedBy;
use crate::state::config;

/// Who judges jobs, and by which limits.
pub fn judging(context: &Context<'_>) -> RecoverSettings {
    let settings = context.settings();
    let jobs = &settings.jobs;
    let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    RecoverSettings {
        actor: context.actor(),
        limits: FreshnessLimits { stale_after_ms: ms(jobs.stale_after), dead_after_ms: ms(jobs.dead_after) },
        kill_grace: jobs.kill_grace,
        on_orphan: match jobs.on_orphan {
            config::OnUnsupervised::Adopt => OnUnsupervised::Adopt,
            config::OnUnsupervised::End => OnUnsupervised::End,
        },
        start_tries: jobs.start_tries,
        blame: Blame::default(),
        requeue: RequeuePauses { first: jobs.requeue_pause, longest: jobs.requeue_pause_max },
        keeper: (context.site().keeper)(jobs.output_limit),
        keep: keep_rules(settings),
    }
}

/// How a recovery is assembled.
pub fn recovering(
    context: &Context<'_>,
    by: StartedBy,
    write_records: bool,
) -> Result<Settings, OperationError> {
    Ok(Settings { by, jobs: judging(context), write_records, webhooks: delivering(context.settings())? })
}

/// How a recovery is run.
pub fn run_options(
    context: &Context<'_>,
    purpose: &str,
    skip: &[String],
    observer: Option<Observer>,
) -> RunOptions {
    let (by, pauses, purpose) = (context.actor().by, pauses(context.settings()), purpose.to_owned());
    RunOptions { purpose, by, skip: skip.to_vec(), pauses, observer, ..RunOptions::default() }
}

/// The pauses before a phase's second, third … try.
pub fn pauses(settings: &config::Settings) -> Vec<Duration> {
    let config::RecoverySettings { tries, pause } = settings.recovery;
    (1..tries).map(|n| pause * 2u32.saturating_pow(n - 1)).collect()
}

/// Which jobs that are over are kept.
pub fn retention(settings: &config::Settings) -> JobRetention {
    let jobs = &settings.jobs;
    JobRetention { keep_days: Some(jobs.keep_days), keep_last: Some(jobs.keep_last), crashed: false }
}
