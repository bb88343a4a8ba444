//! What probes answer; described in [`super::openapi`].

use recovery::recovery::PhaseStatus;
use schemars::JsonSchema;
use serde::Serialize;

/// `/livez`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Alive {
    pub(super) status: &'static str,
}

/// `/version`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Version {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

/// `/readyz`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Readiness {
    pub(super) ready: bool,
    /// `recovering`, `ready`, `safe_mode` or `ending`.
    pub(super) state: &'static str,
    /// How far the recovery is; `null` when none is under way.
    pub(super) recovery: Option<RecoveryProgress>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RecoveryProgress {
    pub(super) phases_done: u32,
    pub(super) phases_total: u32,
    pub(super) phases: Vec<PhaseOfProgress>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PhaseOfProgress {
    pub(super) phase: String,
    pub(super) status: PhaseStatus,
    pub(super) done: u64,
    pub(super) total: Option<u64>,
}
