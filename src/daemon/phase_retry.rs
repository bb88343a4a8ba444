//! Recovery on request while the daemon runs: `retry phase`, and the ways out of safe mode.
//!
//! Requests are files in `recovery/requests/`; each is removed only after the record of the recovery that
//! answers it was written, so that after a kill it is carried out again. The requester finds its request's id
//! in that record, under `retry`.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::config::DaemonConfig;
use super::error::DaemonError;
use crate::durable::{FileLock, error_chain};
use crate::logging::{Repeats, events};
use crate::queue::Queue;
use crate::recovery::{
    GraphError, Recovery, RecoveryOutcome, RecoveryRecord, RetryWanted, RunOptions, retries_wanted,
    withdraw_retry,
};
use crate::startup::{SafeMode, safe_mode};
use crate::state::StateDir;
use tracing::warn;

/// How often requests are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) type Recovered = (RecoveryRecord, Option<Queue>);

/// The settings of a recovery, which may run several times.
pub(super) struct PhaseRetry<'a> {
    pub(super) dir: &'a StateDir,
    pub(super) config: RefCell<DaemonConfig>,
    pub(super) run: RunOptions,
    /// The daemon's lock.
    pub(super) lock: Arc<FileLock>,
}

impl PhaseRetry<'_> {
    fn sequence(&self) -> Result<Recovery, GraphError> {
        let config = self.config.borrow();
        Ok(Recovery::new(self.dir, config.recovery.clone())?.scanning(&config.orphans))
    }

    fn options(&self) -> RunOptions {
        RunOptions { pauses: self.config.borrow().pauses.clone(), ..self.run.clone() }
    }

    /// Runs the whole sequence.
    pub(super) fn whole(&self) -> Result<Recovered, DaemonError> {
        Ok(self.sequence()?.run(&self.options())?)
    }

    fn wanted(&self) -> Result<Vec<RetryWanted>, DaemonError> {
        let phases = Recovery::new(self.dir, self.config.borrow().recovery.clone())?.phases();
        Ok(retries_wanted(self.dir, &phases)?)
    }

    /// Tries the requested phases again. In safe mode a request counts only if everything that died runs
    /// again after it. Returns `None` when nothing was run.
    pub(super) fn retry_requested(&self, safe: Option<&SafeMode>) -> Result<Option<Recovered>, DaemonError> {
        let wanted = self.wanted()?;
        if wanted.is_empty() {
            return Ok(None);
        }
        let recovered = self.retry(&wanted, safe)?;
        for wish in &wanted {
            withdraw_retry(self.dir, &wish.phase, wish.id)?;
        }
        Ok(recovered)
    }

    fn retry(
        &self,
        wanted: &[RetryWanted],
        safe: Option<&SafeMode>,
    ) -> Result<Option<Recovered>, DaemonError> {
        let mut only: Vec<String> = wanted.iter().map(|wish| wish.phase.clone()).collect();
        // The dependents of the phase that died run only after that phase.
        only.extend(safe.and_then(SafeMode::phase).map(str::to_owned));
        let by = wanted.iter().map(|wish| wish.by.as_str()).collect::<Vec<_>>().join(", ");
        let ids: Vec<String> = wanted.iter().map(|wish| wish.id.to_string()).collect();
        let keep = Some(json!({ "requests": ids, "phases": only, "by": by }));
        let options = RunOptions { only, keep, ..self.options() };
        match self.sequence()?.run(&options) {
            Ok(recovered) => Ok(Some(recovered)),
            // Another process recovers, or a recovery is impossible now: the requester sees that nothing was
            // done.
            Err(e) => {
                warn!(
                    event = events::TROUBLE,
                    "the phases asked for are not tried again: {}",
                    error_chain(&e)
                );
                Ok(None)
            }
        }
    }

    /// Waits in safe mode until a phase was tried again and all its dependents completed, or until the
    /// startups were cleared and the whole sequence ran. Returns `None` when the daemon is to stop.
    pub(super) fn when_asked_in_safe_mode(
        &self,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Recovered>, DaemonError> {
        while !stop() {
            self.lock.check_its_name(&self.dir.disk)?;
            let Some(safe) = safe_mode(self.dir)? else { return self.whole().map(Some) };
            if let Some(recovered) = self.retry_requested(Some(&safe))?
                && matches!(
                    recovered.0.snapshot.outcome,
                    RecoveryOutcome::Completed | RecoveryOutcome::Degraded
                )
            {
                return Ok(Some(recovered));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(None)
    }
}

/// Searches for requests at intervals.
pub(super) struct Looks<'a> {
    again: &'a PhaseRetry<'a>,
    last: Cell<Instant>,
    trouble: Repeats,
}

impl<'a> Looks<'a> {
    pub(super) fn new(again: &'a PhaseRetry<'a>) -> Looks<'a> {
        let trouble = Repeats::new("requests to try a phase again cannot be read");
        Looks { again, last: Cell::new(Instant::now()), trouble }
    }

    /// Whether there is a request.
    pub(super) fn is_asked(&self) -> bool {
        if self.last.get().elapsed() < LOOK_EVERY {
            return false;
        }
        self.last.set(Instant::now());
        // A request that cannot be read cannot be answered; the next recovery reports it.
        self.trouble.note(self.again.wanted()).is_some_and(|wanted| !wanted.is_empty())
    }
}
