//! `retry cleanup ID`: takes parked and failed phases of a cleanup up again.

use clap::Args;
use recovery::audit::{Entry, Trail};
use recovery::cleanup::{CleanupPhaseName, CleanupPhaseStatus, CleanupRecord, CreateRefused, list, retry};
use recovery::findings::Object;
use recovery::state::StateDir;
use schemars::JsonSchema;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending};

/// Try the parked and failed phases of a cleanup again
///
/// A daemon, or 'cleanup run', does it.
#[derive(Debug, Args)]
pub(crate) struct RetryCleanupArgs {
    /// The cleanup
    #[arg(value_name = "ID")]
    cleanup: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CleanupRetry")]
pub(crate) struct RetryCleanupReport {
    cleanup_id: String,
    /// The phases that are tried again; none when nothing had failed.
    phases: Vec<CleanupPhaseName>,
    dry_run: bool,
}

pub(crate) fn retry_cleanup(context: &mut Context, args: &RetryCleanupArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let dry_run = context.is_dry_run();
    let phases = if dry_run { would_retry(&dir, &args.cleanup)? } else { do_retry(context, &dir, args)? };
    let report = RetryCleanupReport { cleanup_id: args.cleanup.clone(), phases, dry_run };
    context.output.report(&report, |text| {
        let word = if dry_run { "would be tried again" } else { "tried again" };
        let (id, named) = (&report.cleanup_id, names(&report.phases));
        text.line(match named.is_empty() {
            true => format!("cleanup {id}: nothing had failed"),
            false => format!("cleanup {id}: {named} {word}"),
        });
    });
    if !dry_run {
        context.output.hint("a daemon does it, or: recoveryctl cleanup run");
    }
    Ok(Ending::Done)
}

fn do_retry(
    context: &Context,
    dir: &StateDir,
    args: &RetryCleanupArgs,
) -> Result<Vec<CleanupPhaseName>, CliError> {
    let (actor, trail) = (context.actor(), Trail::open(dir)?);
    let phases = retry(dir, &args.cleanup)?;
    let object = Object::Cleanup(args.cleanup.to_string());
    trail.record(&Entry::done(dir.clock.now(), &actor, "retry cleanup", object, names(&phases)))?;
    Ok(phases)
}

/// The phases that a retry takes up again.
fn would_retry(dir: &StateDir, id: &str) -> Result<Vec<CleanupPhaseName>, CliError> {
    let has_failed = |status| matches!(status, CleanupPhaseStatus::Parked | CleanupPhaseStatus::Failed);
    let record = find_cleanup(dir, id)?;
    Ok(record.phases.iter().filter(|p| has_failed(p.status)).map(|p| p.phase).collect())
}

/// The record of a cleanup, to be looked at.
pub(crate) fn find_cleanup(dir: &StateDir, id: &str) -> Result<CleanupRecord, CliError> {
    let found = list(dir)?.into_iter().find(|record| record.cleanup_id == id);
    found.ok_or_else(|| CreateRefused::NoSuchCleanup { id: id.to_owned() }.into())
}

fn names(phases: &[CleanupPhaseName]) -> String {
    phases.iter().map(|phase| phase.as_str()).collect::<Vec<_>>().join(", ")
}
