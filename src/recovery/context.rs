//! The handle of a running phase: progress out, interruption in.

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::control::Control;
use super::phase_outcome::Interrupted;
use super::progress::Tracker;
use crate::findings::Finding;

/// The running phase's link to its recovery. Clones share one state, for a phase with threads of its own.
#[derive(Clone)]
pub struct PhaseContext {
    phase: usize,
    tracker: Arc<Tracker>,
    control: Arc<Control>,
}

impl PhaseContext {
    pub(super) fn new(phase: usize, tracker: Arc<Tracker>, control: Arc<Control>) -> PhaseContext {
        PhaseContext { phase, tracker, control }
    }

    /// The id of the recovery that the phase is part of.
    pub(crate) fn recovery_id(&self) -> Uuid {
        self.tracker.recovery_id()
    }

    /// Sets how many items there are. Without this, the phase shows no bar.
    pub fn total(&self, items: u64) {
        self.tracker.set_total(self.phase, items);
    }

    /// Counts items as done. Costs two atomic additions: call it for every item.
    pub fn advance(&self, items: u64) {
        self.tracker.advance(self.phase, items);
    }

    /// Sets the present activity, in a few words.
    pub fn message(&self, text: impl Into<String>) {
        self.tracker.set_message(self.phase, text.into());
    }

    /// Adds a finding; it is shown at once.
    pub fn finding(&self, finding: Finding) {
        self.tracker.add_finding(self.phase, finding);
    }

    /// Keeps a value in the recovery's record, for its reports. A later value with the same name replaces it.
    pub fn detail(&self, name: impl Into<String>, value: Value) {
        self.tracker.set_detail(self.phase, name.into(), value);
    }

    /// Adds to a counter that lives as long as the state directory; see
    /// [`super::RecoveryRecord::totals`]. Call it once, when the phase's work is done: a try that fails
    /// afterwards would count twice.
    pub(crate) fn count(&self, name: &str, n: u64) {
        self.tracker.add_count(self.phase, name, n);
    }

    /// A safe point: everything begun is complete here, and the phase could end. Costs two atomic loads.
    ///
    /// # Errors
    /// When the phase is to be skipped or the recovery is to end. Return the error.
    pub fn check_interrupted(&self) -> Result<(), Interrupted> {
        self.control.check(self.phase)
    }
}
