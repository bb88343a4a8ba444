//! `cleanup state`: the cleanups that are not over, phase by phase.

use crate::operations::prelude::*;
use crate::report::cleanup::CleanupState;

plain_requests! {
    /// Show the cleanups that are not over, phase by phase
    CleanupStateRequest in page;
}

impl Operation for CleanupStateRequest {
    type Report = CleanupState;

    const ENTRY: Entry = Entry::get(
        &["cleanup", "state"],
        "/api/admin/cleanup/state",
        "The cleanups that are not over, phase by phase",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<CleanupState>, OperationError> {
        Ok(Done::all(CleanupState::read(&context.state_dir()?, &self.page.page())?))
    }
}
