//! `queue snapshot`: every job, in the order of the queue.

use crate::operations::prelude::*;
use crate::report::held_repositories;
use crate::report::queue::QueueSnapshot;

plain_requests! {
    /// Show every job: those that wait in the order in which they are to start, then the rest
    QueueSnapshotRequest in page;
}

impl Operation for QueueSnapshotRequest {
    type Report = QueueSnapshot;

    const ENTRY: Entry = Entry::get(
        &["queue", "snapshot"],
        "/api/admin/queue/snapshot",
        "Every job, in the order of the queue",
    )
    .from_queue();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<QueueSnapshot>, OperationError> {
        let dir = context.state_dir()?;
        let queue = context.queue_to_look(&dir)?;
        let held = held_repositories(&dir, queue.state())?;
        Ok(Done::all(QueueSnapshot::new(queue.state(), &held, dir.clock.now(), &self.page.page())?))
    }
}
