//! Whether all is well, in a few members, for probes and monitoring.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::{Reason, State, Status};
use crate::findings::Severity;

/// See the module.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct Health {
    /// False when somebody is to be called: the state is none of `healthy`, `attention` and `recovering`.
    pub healthy: bool,
    pub state: State,
    pub status: String,
    pub action: Option<String>,
    /// Why it is in this state, the worst first.
    pub reasons: Vec<Reason>,
    pub daemon: bool,
    pub queued: u64,
    pub running: u64,
    pub degraded_resources: usize,
    pub findings_total: usize,
    /// Of severity `error` or `critical`.
    pub errors_total: usize,
}

impl Health {
    /// Makes the report from the status.
    pub(crate) fn of(status: &Status) -> Health {
        let errors = status.findings.iter().filter(|f| f.severity >= Severity::Error).count();
        Health {
            healthy: status.state.is_well(),
            state: status.state,
            status: status.status.clone(),
            action: status.action.clone(),
            reasons: status.reasons.clone(),
            daemon: status.daemon.is_some(),
            queued: status.counts.queued,
            running: status.counts.running,
            degraded_resources: status.degraded_resources.len(),
            findings_total: status.findings.len(),
            errors_total: errors,
        }
    }
}
