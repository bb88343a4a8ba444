//! `orphans cleanup-log`: what was removed, refused, restored.

use crate::operations::prelude::*;
use crate::orphans::entries;
use crate::report::orphans::OrphansLog;

plain_requests! {
    /// Show what was removed, refused, restored
    OrphansLogRequest in page;
}

impl Operation for OrphansLogRequest {
    type Report = OrphansLog;

    const ENTRY: Entry = Entry::get(
        &["orphans", "cleanup-log"],
        "/api/admin/orphans/cleanup-log",
        "What was removed, refused, restored",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<OrphansLog>, OperationError> {
        let dir = context.state_dir()?;
        Ok(Done::all(OrphansLog::new(entries(&dir)?, &self.page.page())?))
    }
}
