//! A phase, and how it can end.

use std::sync::Arc;

use super::context::PhaseContext;
use super::phase_outcome::{PhaseError, PhaseOutcome};
use super::snapshot::{PhaseProgress, PhaseStatus};

/// The work of a phase. It may be called several times (tries) and must then do only the rest.
pub(super) type PhaseRun = dyn Fn(&PhaseContext) -> Result<PhaseOutcome, PhaseError> + Send + Sync;

/// One step of the recovery sequence.
pub struct Phase {
    /// Its name, unique in its sequence; a word of the command line.
    pub name: &'static str,
    /// The phases that must be over before it begins.
    pub depends_on: &'static [&'static str],
    /// Whether its failure stops the sequence. A failed phase that is not critical only degrades the
    /// recovery.
    pub critical: bool,
    /// What it counts: "jobs", "records".
    pub unit: &'static str,
    /// Its work.
    pub run: Arc<PhaseRun>,
}

impl Phase {
    /// Makes a phase that waits for nothing and is not critical.
    pub fn new(
        name: &'static str,
        unit: &'static str,
        run: impl Fn(&PhaseContext) -> Result<PhaseOutcome, PhaseError> + Send + Sync + 'static,
    ) -> Phase {
        Phase { name, depends_on: &[], critical: false, unit, run: Arc::new(run) }
    }

    /// Makes the phase wait for these phases.
    pub fn after(mut self, names: &'static [&'static str]) -> Phase {
        self.depends_on = names;
        self
    }

    /// Makes the phase critical.
    pub fn critical(mut self) -> Phase {
        self.critical = true;
        self
    }
}

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Phase")
            .field("name", &self.name)
            .field("depends_on", &self.depends_on)
            .field("critical", &self.critical)
            .finish_non_exhaustive()
    }
}

impl PhaseProgress {
    /// Returns the progress of a phase that has not begun.
    pub(crate) fn not_begun(phase: &Phase) -> PhaseProgress {
        PhaseProgress {
            phase: phase.name.to_owned(),
            depends_on: phase.depends_on.iter().map(|&name| name.to_owned()).collect(),
            critical: phase.critical,
            status: PhaseStatus::Pending,
            done: 0,
            total: None,
            unit: phase.unit.to_owned(),
            attempts: 0,
            started_at: None,
            duration_ms: 0,
            message: None,
            findings: Vec::new(),
            findings_total: 0,
            degraded_resources: Vec::new(),
            remaining_ms: None,
            carried_over: false,
        }
    }
}
