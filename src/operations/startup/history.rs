//! `startup history`: past startups, the newest first.

use crate::operations::prelude::*;
use crate::report::startup::StartupHistory;
use crate::startup::StartupLog;

plain_requests! {
    /// Show past startups, the newest first
    StartupHistoryRequest in page;
}

impl Operation for StartupHistoryRequest {
    type Report = StartupHistory;

    const ENTRY: Entry =
        Entry::get(&["startup", "history"], "/api/admin/startup/history", "Past startups, the newest first");

    fn run(&self, context: &mut Context<'_>) -> Result<Done<StartupHistory>, OperationError> {
        let dir = context.state_dir()?;
        let report = StartupHistory::read(&dir, &self.page.page())?;
        if !StartupLog::read(&dir)?.is_whole() {
            context.warn(
                "the log of startups is damaged: what cannot be read of it is not in the list; next: recoveryctl recover",
            );
        }
        Ok(Done::all(report))
    }
}
