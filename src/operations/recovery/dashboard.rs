//! `recovery dashboard`: everything at once, of one moment.

use super::declared;
use crate::operations::prelude::*;
use crate::operations::settings::judging;
use crate::operations::status::{daemon_of, ending, gathered};
use crate::report::dashboard::Dashboard;

plain_requests! {
    /// Show everything at once, of one moment
    DashboardRequest;
}

impl Operation for DashboardRequest {
    type Report = Dashboard;

    const ENTRY: Entry = Entry::get(
        &["recovery", "dashboard"],
        "/api/admin/recovery/dashboard-data",
        "Everything at once, of one moment",
    )
    .cached();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<Dashboard>, OperationError> {
        let dir = context.state_dir()?;
        let declared = declared(context, &dir)?;
        let limits = judging(context).limits;
        let gathered = gathered(context, &dir)?;
        let report = Dashboard::new(&gathered, daemon_of(&dir)?, declared.graph(), limits)?;
        let ending = ending(&report.status);
        Ok(Done { report, ending })
    }
}
