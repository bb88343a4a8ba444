//! `state show`: which state directory this is.

use crate::operations::prelude::*;
use crate::report::state::StateReport;

plain_requests! {
    /// Show which state directory this is, and whether it is a copy or went back in time
    StateRequest;
}

impl Operation for StateRequest {
    type Report = StateReport;

    const ENTRY: Entry = Entry::get(
        &["state", "show"],
        "/api/admin/state",
        "Which state directory this is, and whether it is a copy or went back in time",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<StateReport>, OperationError> {
        Ok(Done::all(StateReport::of(&context.state_dir()?)))
    }
}
