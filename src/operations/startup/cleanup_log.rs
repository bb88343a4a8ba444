//! `startup cleanup-log`: what was cleaned after crashes.

use crate::operations::prelude::*;
use crate::report::startup::CleanupLog;
use crate::startup::StartupLog;

plain_requests! {
    /// Show what was cleaned after crashes, the newest first
    CleanupLogRequest in page;
}

impl Operation for CleanupLogRequest {
    type Report = CleanupLog;

    const ENTRY: Entry = Entry::get(
        &["startup", "cleanup-log"],
        "/api/admin/startup/cleanup-log",
        "What was cleaned after crashes",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<CleanupLog>, OperationError> {
        let dir = context.state_dir()?;
        Ok(Done::all(CleanupLog::new(&StartupLog::read(&dir)?, &self.page.page())?))
    }
}
