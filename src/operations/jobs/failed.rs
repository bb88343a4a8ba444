//! `jobs failed`: what needs somebody's attention.

use crate::operations::prelude::*;
use crate::report::failed::FailedJobs;

plain_requests! {
    /// Show the jobs that failed, timed out or crashed
    FailedJobsRequest in page;
}

impl Operation for FailedJobsRequest {
    type Report = FailedJobs;

    const ENTRY: Entry = Entry::get(
        &["jobs", "failed"],
        "/api/admin/recovery/jobs/failed",
        "The jobs that failed, timed out or crashed",
    )
    .from_queue();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<FailedJobs>, OperationError> {
        let dir = context.state_dir()?;
        let queue = context.queue_to_look(&dir)?;
        Ok(Done::all(FailedJobs::new(&dir, queue.state(), &self.page.page(), context.shows_output())?))
    }
}
