//! `cleanup queue` and `cleanup resuming`.

use crate::operations::prelude::*;
use crate::report::cleanup::CleanupList;

plain_requests! {
    /// Show the cleanups that were not begun
    QueuedCleanups in page;
    /// Show the cleanups that a crash interrupted, and where they go on
    ResumingCleanups in page;
}

impl Operation for QueuedCleanups {
    type Report = CleanupList;

    const ENTRY: Entry = Entry::get(
        &["cleanup", "queue"],
        "/api/admin/cleanup/queue",
        "The cleanups that were not begun, in order",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<CleanupList>, OperationError> {
        Ok(Done::all(CleanupList::queue(&context.state_dir()?, &self.page.page())?))
    }
}

impl Operation for ResumingCleanups {
    type Report = CleanupList;

    const ENTRY: Entry = Entry::get(
        &["cleanup", "resuming"],
        "/api/admin/cleanup/resuming",
        "The cleanups that a crash interrupted",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<CleanupList>, OperationError> {
        Ok(Done::all(CleanupList::resuming(&context.state_dir()?, &self.page.page())?))
    }
}
