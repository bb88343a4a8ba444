//! `recovery history`: past recoveries, the newest first.

use crate::operations::history::past_recoveries;
use crate::operations::prelude::*;
use crate::report::recovery::RecoveryHistory;

plain_requests! {
    /// Show past recoveries, the newest first
    RecoveryHistoryRequest in page;
}

impl Operation for RecoveryHistoryRequest {
    type Report = RecoveryHistory;

    const ENTRY: Entry = Entry::get(
        &["recovery", "history"],
        "/api/admin/recovery/history",
        "Past recoveries, the newest first",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<RecoveryHistory>, OperationError> {
        let dir = context.state_dir()?;
        Ok(Done::all(RecoveryHistory::new(&past_recoveries(context, &dir), &self.page.page())?))
    }
}
