//! `why OBJECT`: every piece of evidence behind a verdict.

use clap::Args;
use recovery::report::why_job::WhyJob;
use recovery::report::why_lock::WhyLock;
use schemars::JsonSchema;

use super::why_job::why_job;
use super::why_lock::why_lock;
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};

/// Show every piece of evidence behind a verdict
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// What about: job:ID or lock:REPO
    #[arg(value_name = "OBJECT")]
    object: String,
}

/// One report or the other, by the kind of object.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, clippy::large_enum_variant)] // Describes what the two write; nobody makes one.
pub(crate) enum Why {
    Job(WhyJob),
    Lock(WhyLock),
}

pub(crate) fn cmd_why(context: &mut Context, args: &WhyArgs) -> Result<Ending, CliError> {
    match args.object.split_once(':') {
        Some(("job", id)) => why_job(context, id),
        Some(("lock", repository)) => why_lock(context, repository),
        _ => Err(CliError::new(ErrorKind::Usage, format!("'{}' is no object with a verdict", args.object))
            .code("unknown-object")
            .hint("recoveryctl why job:ID")
            .hint("recoveryctl why lock:REPO")),
    }
}
