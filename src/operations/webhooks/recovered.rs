//! `webhooks recovered`: what the last recovery found undelivered.

use crate::operations::history::last_recovery;
use crate::operations::prelude::*;
use crate::report::webhooks::RecoveredDeliveries;
use crate::webhooks::{DeliveryLog, DeliveryLogState, DeliveryView, attempts_in};

plain_requests! {
    /// Show what the last recovery found undelivered, and what became of it
    RecoveredRequest in page;
}

impl Operation for RecoveredRequest {
    type Report = RecoveredDeliveries;

    const ENTRY: Entry = Entry::get(
        &["webhooks", "recovered"],
        "/api/admin/webhooks/recovered",
        "What the last recovery found undelivered",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<RecoveredDeliveries>, OperationError> {
        let dir = context.state_dir()?;
        let last = last_recovery(context, &dir);
        let log = DeliveryLog::open_if_any(&dir)?;
        let nothing = DeliveryLogState::default();
        let now = log.as_ref().map_or(&nothing, DeliveryView::state);
        let tried = attempts_in(&dir)?;
        Ok(Done::all(RecoveredDeliveries::new(last.as_ref(), now, &tried, &self.page.page())?))
    }
}
