//! What `recover`, `work` and `daemon` have in common: settings for the library, and recovering with
//! progress.

mod delivery_settings;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use recovery::daemon::SchedulerSettings;
use recovery::jobs::{FreshnessLimits, JobRetention, OnUnsupervised, RecoverSettings, RequeuePauses};
use recovery::queue::{Actor, JobId};
use recovery::recovery::{Cancel, Observer, RunOptions, Settings};
use recovery::startup::StartedBy;
use recovery::state::StateDir;
use recovery::state::config;
use recovery::webhooks;

pub(crate) use self::delivery_settings::delivering;
use crate::context::Context;
use crate::error::CliError;
use crate::internal::{keeper_command, supervisor_command};
use crate::interruption::Interruption;
use crate::surroundings::environment_of_jobs;

/// Who judges jobs, and by which limits.
pub(crate) fn judging(context: &mut Context) -> Result<RecoverSettings, CliError> {
    let actor = context.actor();
    let settings = context.settings()?;
    let jobs = &settings.jobs;
    let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    Ok(RecoverSettings {
        actor,
        limits: FreshnessLimits { stale_after_ms: ms(jobs.stale_after), dead_after_ms: ms(jobs.dead_after) },
        kill_grace: jobs.kill_grace,
        on_orphan: match jobs.on_orphan {
            config::OnUnsupervised::Adopt => OnUnsupervised::Adopt,
            config::OnUnsupervised::End => OnUnsupervised::End,
        },
        start_tries: jobs.start_tries,
        blame: recovery::jobs::Blame::default(),
        requeue: RequeuePauses { first: jobs.requeue_pause, longest: jobs.requeue_pause_max },
        keeper: keeper_command(jobs.output_limit),
        keep: crate::cleanup_wiring::keep_rules(settings),
    })
}

/// How a recovery is assembled.
pub(crate) fn recovering(
    context: &mut Context,
    by: StartedBy,
    write_records: bool,
) -> Result<Settings, CliError> {
    Ok(Settings { by, jobs: judging(context)?, write_records, webhooks: delivering(context)? })
}

/// How a recovery is assembled where no configuration counts: with the usual limits.
pub(crate) fn recovery_settings(actor: &Actor, by: StartedBy) -> Settings {
    Settings {
        by,
        jobs: RecoverSettings::new(actor.clone()),
        write_records: true,
        webhooks: webhooks::Settings::default(),
    }
}

/// How a recovery is run.
pub(crate) fn run_options(
    context: &mut Context,
    purpose: &str,
    skip: &[String],
    observer: Option<Observer>,
) -> Result<RunOptions, CliError> {
    let by = context.actor().by;
    let pauses = pauses(context)?;
    let purpose = purpose.to_owned();
    Ok(RunOptions { purpose, by, skip: skip.to_vec(), pauses, observer, ..RunOptions::default() })
}

/// The pauses before a phase's second, third … try.
pub(crate) fn pauses(context: &mut Context) -> Result<Vec<Duration>, CliError> {
    let config::RecoverySettings { tries, pause } = context.settings()?.recovery;
    Ok((1..tries).map(|n| pause * 2u32.saturating_pow(n - 1)).collect())
}

/// Which jobs that are over are kept.
pub(crate) fn retention(context: &mut Context) -> Result<JobRetention, CliError> {
    let jobs = &context.settings()?.jobs;
    Ok(JobRetention { keep_days: Some(jobs.keep_days), keep_last: Some(jobs.keep_last), crashed: false })
}

/// How jobs are run.
pub(crate) fn scheduling(
    context: &mut Context,
    dir: &StateDir,
    workers: Option<usize>,
    only: BTreeSet<JobId>,
) -> Result<SchedulerSettings, CliError> {
    let jobs = judging(context)?;
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

/// Runs `act` while a thread hands an interruption on to `cancel`.
pub(crate) fn cancellable<T>(interruption: &Interruption, cancel: &Cancel, act: impl FnOnce() -> T) -> T {
    cancellable_when(interruption, cancel, || false, act)
}

/// As [`cancellable`]; `is_in_vain` says that there is no point in going on.
pub(crate) fn cancellable_when<T>(
    interruption: &Interruption,
    cancel: &Cancel,
    is_in_vain: impl Fn() -> bool + Sync,
    act: impl FnOnce() -> T,
) -> T {
    interruption.catch();
    let over = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        // Without a thread a recovery cannot be cancelled; all else looks for the signal itself.
        let _ = std::thread::Builder::new().spawn_scoped(scope, || {
            while !over.load(Ordering::Acquire) {
                if interruption.requested().is_some() || is_in_vain() {
                    cancel.cancel();
                }
                std::thread::park_timeout(Duration::from_millis(20));
            }
        });
        // Also when `act` panics: the scope waits for the thread.
        let _over = RaiseAtTheEnd(&over);
        act()
    })
}

struct RaiseAtTheEnd<'a>(&'a AtomicBool);

impl Drop for RaiseAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
