//! `recovery phases`: every phase with its progress.

use super::declared;
use crate::operations::prelude::*;
use crate::recovery::read_current;
use crate::report::recovery::Phases;

plain_requests! {
    /// Show every phase of the recovery that runs, or ran last, with its progress
    PhasesRequest;
}

impl Operation for PhasesRequest {
    type Report = Phases;

    const ENTRY: Entry =
        Entry::get(&["recovery", "phases"], "/api/admin/recovery/phases", "Every phase with its progress");

    fn run(&self, context: &mut Context<'_>) -> Result<Done<Phases>, OperationError> {
        let dir = context.state_dir()?;
        let declared = declared(context, &dir)?;
        Ok(Done::all(Phases::new(read_current(&dir).as_ref(), declared.graph())))
    }
}
