//! Runs one phase from its first try to its end: tries, pauses between them, panics, interruptions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::context::PhaseContext;
use super::control::{Control, Woken};
use super::phase::PhaseRun;
use super::phase_outcome::{DegradedResource, Interrupted, PhaseError, PhaseOutcome};
use super::progress::{PhaseEnd, Tracker};
use super::snapshot::PhaseStatus;
use crate::durable::error_chain;
use crate::findings::{Finding, Object, Severity, catalogue};
use crate::logging::events;
use crate::state::human;
use tracing::{info, info_span, warn};

/// The input of a phase's thread. The thread owns all of it, because a thread that hangs is abandoned.
pub(super) struct Attempting {
    pub(super) phase: Named,
    pub(super) run: Arc<PhaseRun>,
    pub(super) index: usize,
    pub(super) tracker: Arc<Tracker>,
    pub(super) control: Arc<Control>,
    pub(super) pauses: Vec<Duration>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) critical: bool,
}

impl Attempting {
    /// Runs the phase until it is over.
    pub(super) fn to_the_end(&self) -> PhaseEnd {
        let span = info_span!("phase", phase = self.phase.name);
        let _entered = span.enter();
        info!(event = events::PHASE_BEGAN, "phase {} begins", self.phase.name);
        let mut pauses = self.pauses.iter();
        let mut failures: Vec<String> = Vec::new();
        loop {
            self.tracker.begin_try(self.index);
            let error = match self.try_once() {
                Ok(outcome) => return done(self.phase.name, outcome, &failures),
                Err(error) => error,
            };
            if let Some(interrupted) = self.interruption(&error) {
                return self.interrupted(interrupted);
            }
            let pause = match &error {
                PhaseError::Hopeless { .. } => None,
                _ => pauses.next(),
            };
            let Some(&pause) = pause else { return self.failed(&error) };
            failures.push(error_chain(&error));
            let message = announce(&error, pause);
            warn!(event = events::PHASE_RETRIED, "phase {} failed: {message}", self.phase.name);
            self.tracker.set_message(self.index, message);
            match self.control.pause(self.index, pause) {
                Woken::TryAgain => {}
                Woken::Interrupted(why) => return self.interrupted(why),
                Woken::Stopped => return self.failed(&error),
            }
        }
    }

    fn try_once(&self) -> Result<PhaseOutcome, PhaseError> {
        // The phase was asked to stop before it began, so it need not begin.
        self.control.check(self.index)?;
        let context = PhaseContext::new(self.index, Arc::clone(&self.tracker), Arc::clone(&self.control));
        catch_unwind(AssertUnwindSafe(|| (self.run)(&context)))
            .unwrap_or_else(|panic| Err(PhaseError::Panicked { message: text_of(&*panic) }))
    }

    /// Returns the interruption behind an error: a phase that was told to stop and returns an error of its
    /// own was stopped all the same.
    fn interruption(&self, error: &PhaseError) -> Option<Interrupted> {
        match error {
            PhaseError::Interrupted(why) => Some(*why),
            _ => self.control.check(self.index).err(),
        }
    }

    fn interrupted(&self, why: Interrupted) -> PhaseEnd {
        match why {
            Interrupted::Skipped => skipped(self.phase, self.control.asked(self.index)),
            Interrupted::Cancelled => cancelled("cancelled before it was done"),
        }
    }

    fn failed(&self, error: &PhaseError) -> PhaseEnd {
        let (name, why) = (self.phase.name, error_chain(error));
        let severity = if self.phase.critical { Severity::Critical } else { Severity::Error };
        let sentence = format!("the phase failed: {why}");
        let finding = Finding::new(&catalogue::PHASE_FAILED, object(name), sentence).with_severity(severity);
        let degraded = vec![DegradedResource { object: object(name), why: why.clone() }];
        PhaseEnd { status: PhaseStatus::Failed, message: Some(why), findings: vec![finding], degraded }
    }
}

fn announce(error: &PhaseError, pause: Duration) -> String {
    format!("{}; next try in {}", error_chain(error), human::span(pause))
}

fn done(phase: &str, mut outcome: PhaseOutcome, failures: &[String]) -> PhaseEnd {
    if let Some(why) = failures.last() {
        let tries = failures.len() + 1;
        let sentence =
            format!("Phase {phase} of the recovery needed {tries} tries; before the last one: {why}.");
        outcome.findings.push(Finding::new(&catalogue::PHASE_RETRIED, object(phase), sentence));
    }
    let status = if outcome.degraded.is_empty() { PhaseStatus::Succeeded } else { PhaseStatus::Degraded };
    PhaseEnd { status, message: outcome.message, findings: outcome.findings, degraded: outcome.degraded }
}

pub(super) fn object(phase: &str) -> Object {
    Object::phase(phase)
}

/// Returns the end of a phase whose recovery is to end.
pub(super) fn cancelled(message: &str) -> PhaseEnd {
    let (findings, degraded) = (Vec::new(), Vec::new());
    PhaseEnd { status: PhaseStatus::Failed, message: Some(message.to_owned()), findings, degraded }
}

/// Returns the end of a phase that is skipped; `asked` says by whom and why.
pub(super) fn skipped(phase: Named, asked: Option<&str>) -> PhaseEnd {
    let name = phase.name;
    let by = asked.map_or_else(String::new, |asked| format!(" by {asked}"));
    let sentence = format!("the phase was skipped{by}");
    let finding = Finding::new(&catalogue::PHASE_SKIPPED, object(name), sentence);
    // What a critical phase restores cannot be relied on when the phase did not run.
    let missing = DegradedResource { object: object(name), why: "the critical phase was skipped".to_owned() };
    PhaseEnd {
        status: PhaseStatus::Skipped,
        message: Some(format!("skipped{by}")),
        findings: vec![finding],
        degraded: phase.critical.then_some(missing).into_iter().collect(),
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|t| (*t).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
