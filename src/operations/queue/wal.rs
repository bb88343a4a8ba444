//! `queue wal`: the log on disk, segment by segment.

use crate::operations::prelude::*;
use crate::report::queue::WalStatus;

plain_requests! {
    /// Show the write-ahead log: its segments, and whether every record reads well
    ///
    /// Reads all of it. Ends with 3 when something is damaged or missing.
    WalStatusRequest;
}

impl Operation for WalStatusRequest {
    type Report = WalStatus;

    const ENTRY: Entry = Entry::get(
        &["queue", "wal"],
        "/api/admin/recovery/queue/wal-status",
        "The write-ahead log, segment by segment",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<WalStatus>, OperationError> {
        let dir = context.state_dir()?;
        let queue = context.queue_to_look(&dir)?;
        let report = WalStatus::read(&dir, &queue)?;
        let is_clean = report.damaged_records == 0 && report.missing.is_empty();
        Ok(Done::complete_if(is_clean, report))
    }
}
