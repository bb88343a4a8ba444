//! `why OBJECT`: every piece of evidence behind a verdict.

use clap::Args;

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
