//! Operations on recoveries.

mod dashboard;
mod history;
mod metrics;
mod phases;
mod recover;
mod retry;
mod skip;

pub use dashboard::DashboardRequest;
pub use history::RecoveryHistoryRequest;
pub use metrics::RecoveryMetricsRequest;
pub use phases::PhasesRequest;
pub use recover::{Recover, Recovered, Run, ending};
pub use retry::RetryPhase;
pub use skip::{SkipPhase, SkipReport};

use super::context::Context;
use super::error::OperationError;
use super::settings::recovering;
use crate::recovery::Recovery;
use crate::startup::StartedBy;
use crate::state::StateDir;

/// The phases that a recovery has, for what was never run.
fn declared(context: &Context<'_>, dir: &StateDir) -> Result<Recovery, OperationError> {
    Ok(Recovery::new(dir, recovering(context, StartedBy::Recover, false)?)?)
}
