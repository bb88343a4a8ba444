//! `recovery metrics`: figures about all recoveries.

use crate::operations::history::{last_recovery, past_recoveries};
use crate::operations::prelude::*;
use crate::report::recovery::RecoveryMetrics;

plain_requests! {
    /// Show figures about all recoveries
    RecoveryMetricsRequest;
}

impl Operation for RecoveryMetricsRequest {
    type Report = RecoveryMetrics;

    const ENTRY: Entry =
        Entry::get(&["recovery", "metrics"], "/api/admin/recovery/metrics", "Figures about all recoveries");

    fn run(&self, context: &mut Context<'_>) -> Result<Done<RecoveryMetrics>, OperationError> {
        let dir = context.state_dir()?;
        let last = last_recovery(context, &dir);
        Ok(Done::all(RecoveryMetrics::new(&past_recoveries(context, &dir), last.as_ref())))
    }
}
