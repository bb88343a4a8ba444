//! `health`: whether all is well, for probes and monitoring.

use super::prelude::*;
use super::status::{ending, status_of};
use crate::report::health::Health;

plain_requests! {
    /// Say in one line whether all is well
    HealthRequest;
}

impl Operation for HealthRequest {
    type Report = Health;

    const ENTRY: Entry =
        Entry::get(&["health"], "/api/admin/health", "Whether all is well, in a few members")
            .cached()
            .from_queue();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<Health>, OperationError> {
        let status = status_of(context)?;
        Ok(Done { report: Health::of(&status), ending: ending(&status) })
    }
}
