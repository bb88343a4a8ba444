//! `queue metrics`: counters, and how long jobs wait and run.

use crate::operations::history::past_recoveries;
use crate::operations::prelude::*;
use crate::report::queue::{QueueMetrics, RecoveryTotals};

plain_requests! {
    /// Show counters, and how long jobs wait and run
    QueueMetricsRequest;
}

impl Operation for QueueMetricsRequest {
    type Report = QueueMetrics;

    const ENTRY: Entry = Entry::get(
        &["queue", "metrics"],
        "/api/admin/recovery/queue/metrics",
        "Counters, and how long jobs wait and run",
    )
    .from_queue();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<QueueMetrics>, OperationError> {
        let dir = context.state_dir()?;
        let queue = context.queue_to_look(&dir)?;
        let history = past_recoveries(context, &dir);
        Ok(Done::all(QueueMetrics::new(queue.state(), RecoveryTotals::of(&history))))
    }
}
