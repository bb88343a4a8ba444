//! What `recover`, `work` and `daemon` have in common: settings for the library, and recovering with
//! progress.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use recovery::daemon::SchedulerSettings;
use recovery::jobs::RecoverSettings;
use recovery::queue::{Actor, JobId};
use recovery::recovery::{Cancel, Settings};
use recovery::startup::StartedBy;
use recovery::state::StateDir;
use recovery::webhooks;

use crate::context::Context;
use crate::error::CliError;
use crate::internal::supervisor_command;
use crate::interruption::Interruption;
use crate::surroundings::environment_of_jobs;
pub(crate) use recovery::operations::settings::{
    delivering, judging, pauses, recovering, retention, run_options,
};

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
