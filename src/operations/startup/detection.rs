//! `startup detection`: whether the startup before this one was cut short.

use crate::operations::prelude::*;
use crate::report::startup::StartupDetection;

plain_requests! {
    /// Show whether the startup before this one was cut short, and in which phase
    StartupDetectionRequest;
}

impl Operation for StartupDetectionRequest {
    type Report = StartupDetection;

    const ENTRY: Entry = Entry::get(
        &["startup", "detection"],
        "/api/admin/startup/detection",
        "Whether the startup before this one was cut short, and in which phase",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<StartupDetection>, OperationError> {
        Ok(Done::all(StartupDetection::read(&context.state_dir()?)?))
    }
}
