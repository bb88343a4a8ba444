//! How a phase ends: its outcome, what is unusable then, or why it did not complete.

use serde::{Deserialize, Serialize};

use crate::findings::{Finding, Object};

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
    /// Findings, in addition to those of [`super::PhaseContext::finding`].
    pub findings: Vec<Finding>,
    /// A line that summarises the result.
    pub message: Option<String>,
}

impl PhaseOutcome {
    /// Returns an outcome without problems, with a line that summarises it.
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

/// Why a phase did not complete.
#[derive(Debug, thiserror::Error)]
pub enum PhaseError {
    /// The phase stopped at a safe point because it was told to.
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
    /// It failed, and would fail in the same way again: there is no further try.
    #[error("{what}")]
    Hopeless {
        /// The failed operation, and its object.
        what: String,
        /// Why it failed.
        #[source]
        source: Option<Cause>,
    },
    /// It panicked. This counts as a failure that another try may not have.
    #[error("panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
}

/// Any error as a cause.
type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

impl PhaseError {
    /// Makes a failure that another try may not have.
    pub fn failed(what: impl Into<String>, source: impl Into<Cause>) -> PhaseError {
        PhaseError::Failed { what: what.into(), source: Some(source.into()) }
    }

    /// Makes a failure that another try would have too.
    pub fn hopeless(what: impl Into<String>, source: impl Into<Cause>) -> PhaseError {
        PhaseError::Hopeless { what: what.into(), source: Some(source.into()) }
    }
}
