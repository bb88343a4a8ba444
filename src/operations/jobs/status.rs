//! `jobs status`: what runs, and what the last recovery made of what was running.

use crate::operations::history::last_recovery;
use crate::operations::prelude::*;
use crate::operations::settings::judging;
use crate::report::reattachment::JobsStatus;

plain_requests! {
    /// Show the running jobs, and what the last recovery made of those that were running
    JobsStatusRequest in page;
}

impl Operation for JobsStatusRequest {
    type Report = JobsStatus;

    const ENTRY: Entry = Entry::get(
        &["jobs", "status"],
        "/api/admin/recovery/jobs/status",
        "The running jobs, and what the last recovery made of those that were running",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<JobsStatus>, OperationError> {
        let dir = context.state_dir()?;
        let limits = judging(context).limits;
        let queue = context.queue_to_look(&dir)?;
        let last = last_recovery(context, &dir);
        let report = JobsStatus::new(&dir, queue.state(), last.as_ref(), limits, &self.page.page())?;
        Ok(Done::all(report))
    }
}
