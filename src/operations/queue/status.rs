//! `queue status`: how long the line is, and how the queue came back.

use crate::operations::history::last_recovery;
use crate::operations::prelude::*;
use crate::report::held_repositories;
use crate::report::queue::{QueueStatus, findings, last_recovered, not_writable};

plain_requests! {
    /// Show how long the line is, who is at its head, and how the queue came back the last time
    QueueStatusRequest;
}

impl Operation for QueueStatusRequest {
    type Report = QueueStatus;

    const ENTRY: Entry = Entry::get(
        &["queue", "status"],
        "/api/admin/recovery/queue/status",
        "How long the line is, who is at its head, and how the queue came back the last time",
    )
    .from_queue();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<QueueStatus>, OperationError> {
        let dir = context.state_dir()?;
        let queue = context.queue_to_look(&dir)?;
        let held = held_repositories(&dir, queue.state())?;
        let last = last_recovery(context, &dir);
        let recovered = last_recovered(last.as_ref());
        let mut found = findings(queue.replayed());
        found.extend(not_writable(&queue));
        let report = QueueStatus::new(&queue, recovered, &held, found);
        Ok(Done::complete_if(report.findings.is_empty(), report))
    }
}
