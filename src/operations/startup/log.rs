//! `startup log`: what this startup did, phase by phase, and the ten before it.

use crate::operations::history::{last_recovery, past_recoveries};
use crate::operations::prelude::*;
use crate::recovery::read_current;
use crate::report::startup::{Recoveries, StartupLogReport};

plain_requests! {
    /// Show what this startup did, phase by phase, and the ten before it
    StartupLogRequest;
}

impl Operation for StartupLogRequest {
    type Report = StartupLogReport;

    const ENTRY: Entry = Entry::get(
        &["startup", "log"],
        "/api/admin/startup-log",
        "What this startup did, and the ten before it",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<StartupLogReport>, OperationError> {
        let dir = context.state_dir()?;
        let (last, history) = (last_recovery(context, &dir), past_recoveries(context, &dir));
        let current = read_current(&dir);
        let recoveries = Recoveries { current: current.as_ref(), last: last.as_ref(), history: &history };
        Ok(Done::all(StartupLogReport::read(&dir, recoveries)?))
    }
}
