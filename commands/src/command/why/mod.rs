//! `why OBJECT`: every piece of evidence behind a verdict.

mod job;
mod lock;
mod orphan;
mod past;

use clap::Args;
use recovery::orphans::{Asked, OrphanKind};
use recovery::report::why_job::WhyJob;
use recovery::report::why_lock::WhyLock;
use recovery::report::why_orphan::WhyOrphan;
use schemars::JsonSchema;

use crate::command::why::job::why_job;
use crate::command::why::lock::why_lock;
use crate::command::why::orphan::why_orphan;
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};

/// Show every piece of evidence behind a verdict
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// What about: job:ID, lock:REPO, orphan:ID of the last scan, or container:NAME, network:NAME, …
    #[arg(value_name = "OBJECT")]
    object: String,
}

/// One of the reports, by the kind of object.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, clippy::large_enum_variant)] // Describes what they write; nobody makes one.
pub(crate) enum Why {
    Job(WhyJob),
    Lock(WhyLock),
    Orphan(WhyOrphan),
}

pub(crate) fn cmd_why(context: &mut Context, args: &WhyArgs) -> Result<Ending, CliError> {
    match args.object.split_once(':') {
        Some(("job", id)) => why_job(context, id),
        Some(("lock", repository)) => why_lock(context, repository),
        Some(("orphan", id)) => why_orphan(context, &args.object, Asked::Candidate(id)),
        Some((word, name)) if let Some(kind) = OrphanKind::of(word) => {
            why_orphan(context, &args.object, Asked::Object(kind, name))
        }
        _ => Err(no_verdict(&args.object)),
    }
}

fn no_verdict(object: &str) -> CliError {
    CliError::new(ErrorKind::Usage, format!("'{object}' is no object with a verdict"))
        .code("unknown-object")
        .hint("recoveryctl why job:ID")
        .hint("recoveryctl why lock:REPO")
        .hint("recoveryctl why orphan:ID")
        .hint("recoveryctl orphans candidates")
        .hint("recoveryctl why container:NAME")
}
