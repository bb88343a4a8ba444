//! A phase, and how it can end.

use std::sync::Arc;

use super::context::PhaseContext;
use crate::findings::{Finding, Object};
use serde::{Deserialize, Serialize};

/// The work of a phase. It may be called several times (tries) and must then do only the rest.
pub type PhaseRun = dyn Fn(&PhaseContext) -> Result<PhaseOutcome, PhaseError> + Send + Sync;

/// One step of the recovery sequence.
pub struct Phase {
    /// Unique in its sequence; a word of the command line.
    pub name: &'static str,
    /// The phases that must be over before it begins.
    pub depends_on: &'static [&'static str],
    /// Whether its failure stops the sequence. A failed phase that is not critical degrades the recovery.
    pub critical: bool,
    /// What it counts: "jobs", "records".
    pub unit: &'static str,
    /// Its work.
    pub run: Arc<PhaseRun>,
}

impl Phase {
    /// A phase that waits for nothing and is not critical.
    pub fn new(
        name: &'static str,
        unit: &'static str,
        run: impl Fn(&PhaseContext) -> Result<PhaseOutcome, PhaseError> + Send + Sync + 'static,
    ) -> Phase {
        Phase { name, depends_on: &[], critical: false, unit, run: Arc::new(run) }
    }

    /// The same, after these phases.
    pub fn after(mut self, names: &'static [&'static str]) -> Phase {
        self.depends_on = names;
        self
    }

    /// The same, critical.
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

/// A resource that is unusable until it is repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DegradedResource {
    /// `lock:web`, `job:…`, `phase:orphans`.
    pub object: Object,
    /// Why it cannot be used.
    pub why: String,
}

/// The result of a phase that completed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PhaseOutcome {
    /// Resources that are unusable now; with any of these the phase's status is `degraded`.
    pub degraded: Vec<DegradedResource>,
    /// Findings, in addition to those of [`PhaseContext::finding`].
    pub findings: Vec<Finding>,
    /// A line that sums it up.
    pub message: Option<String>,
}

impl PhaseOutcome {
    /// All well, with a line that sums it up.
    pub fn with_message(message: impl Into<String>) -> PhaseOutcome {
        PhaseOutcome { message: Some(message.into()), ..PhaseOutcome::default() }
    }
}

/// Why a phase has to stop at its next safe point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Interrupted {
    /// It was skipped on request.
    #[error("skipped on request")]
    Skipped,
    /// The whole recovery is to end.
    #[error("the recovery was cancelled")]
    Cancelled,
}

/// Why a phase did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum PhaseError {
    /// It stopped at a safe point because it was told to.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// It failed; another try may succeed.
    #[error("{what}")]
    Failed {
        /// The failed operation, and its object.
        what: String,
        /// Why it failed.
        #[source]
        source: Option<Cause>,
    },
    /// It failed, and would fail the same way again: no further try is made.
    #[error("{what}")]
    Hopeless {
        /// The failed operation, and its object.
        what: String,
        /// Why it failed.
        #[source]
        source: Option<Cause>,
    },
    /// It panicked; taken as a failure that another try may not have.
    #[error("panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
}

/// Any error as a cause.
type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

impl PhaseError {
    /// A failure that another try may not have.
    pub fn failed(what: impl Into<String>, source: impl Into<Cause>) -> PhaseError {
        PhaseError::Failed { what: what.into(), source: Some(source.into()) }
    }

    /// A failure that another try would have too.
    pub fn hopeless(what: impl Into<String>, source: impl Into<Cause>) -> PhaseError {
        PhaseError::Hopeless { what: what.into(), source: Some(source.into()) }
    }

    /// The error and its causes in one line, for people.
    pub fn in_one_line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(e) = cause {
            let text = e.to_string();
            // Transparent wrappers repeat the text of the error they wrap.
            if !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = e.source();
        }
        line
    }
}
