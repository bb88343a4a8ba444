//! `retry cleanup ID`: takes parked and failed phases of a cleanup up again.

use clap::Args;
use recovery::audit::{Entry, Trail};
use recovery::cleanup::{CreateRefused, PhaseName, retry};
use schemars::JsonSchema;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};

/// Try the parked and failed phases of a cleanup again
///
/// A daemon, or 'cleanup run', does it.
#[derive(Debug, Args)]
pub(super) struct RetryCleanupArgs {
    /// The cleanup
    #[arg(value_name = "ID")]
    cleanup: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CleanupRetry")]
pub(crate) struct RetryCleanupReport {
    cleanup_id: String,
    /// The phases that are tried again; none when nothing had failed.
    phases: Vec<PhaseName>,
}

pub(super) fn retry_cleanup(context: &mut Context, args: &RetryCleanupArgs) -> Result<Ending, CliError> {
    context.refuse_dry_run()?;
    let dir = context.state_dir()?;
    let (actor, trail) = (context.actor(), Trail::open(&dir)?);
    let phases = retry(&dir, &args.cleanup)?;
    let named: Vec<&str> = phases.iter().map(|p| p.as_str()).collect();
    let object = format!("cleanup:{}", args.cleanup);
    trail.record(&Entry::done(dir.clock.now(), &actor, "retry cleanup", object, named.join(", ")))?;
    let report = RetryCleanupReport { cleanup_id: args.cleanup.clone(), phases: phases.clone() };
    context.output.report(&report, |text| match named.is_empty() {
        true => text.line(format!("cleanup {}: nothing had failed", report.cleanup_id)),
        false => text.line(format!("cleanup {}: {} tried again", report.cleanup_id, named.join(", "))),
    });
    context.output.hint("a daemon does it, or: recoveryctl cleanup run");
    Ok(Ending::Done)
}

impl From<CreateRefused> for CliError {
    fn from(error: CreateRefused) -> CliError {
        match error {
            CreateRefused::NotOver { .. } => CliError::new(ErrorKind::Held, error).code("job-not-over"),
            CreateRefused::NoSuchCleanup { .. } => CliError::new(ErrorKind::NotFound, error)
                .code("no-such-cleanup")
                .hint("recoveryctl cleanup state"),
            CreateRefused::Lock(error) => error.into(),
            CreateRefused::Disk(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}
