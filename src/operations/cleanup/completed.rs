//! `cleanup completed`: the cleanups that are over.

use crate::operations::prelude::*;
use crate::report::cleanup::CompletedList;

plain_requests! {
    /// Show the cleanups that are over, and what they gave back
    CompletedCleanups in page;
}

impl Operation for CompletedCleanups {
    type Report = CompletedList;

    const ENTRY: Entry =
        Entry::get(&["cleanup", "completed"], "/api/admin/cleanup/completed", "The cleanups that are over");

    fn run(&self, context: &mut Context<'_>) -> Result<Done<CompletedList>, OperationError> {
        Ok(Done::all(CompletedList::read(&context.state_dir()?, &self.page.page())?))
    }
}
