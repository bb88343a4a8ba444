//! `jobs metrics`: figures about re-attachment.

use crate::operations::history::{last_recovery, past_recoveries};
use crate::operations::prelude::*;
use crate::report::job_metrics::JobMetrics;

plain_requests! {
    /// Show figures about re-attachment
    JobMetricsRequest;
}

impl Operation for JobMetricsRequest {
    type Report = JobMetrics;

    const ENTRY: Entry =
        Entry::get(&["jobs", "metrics"], "/api/admin/recovery/jobs/metrics", "Figures about re-attachment")
            .from_queue();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<JobMetrics>, OperationError> {
        let dir = context.state_dir()?;
        let queue = context.queue_to_look(&dir)?;
        let (last, history) = (last_recovery(context, &dir), past_recoveries(context, &dir));
        Ok(Done::all(JobMetrics::new(queue.state(), last.as_ref(), &history)))
    }
}
