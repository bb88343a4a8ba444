//! `why OBJECT`: every piece of evidence behind a verdict.

use clap::Args;
use recovery::orphans::{Asked, OrphanKind};
use recovery::report::past_proof::PastProof;
use recovery::report::why_job::WhyJob;
use recovery::report::why_lock::WhyLock;
use recovery::report::why_orphan::WhyOrphan;
use schemars::JsonSchema;

use super::why_job::why_job;
use super::why_lock::why_lock;
use super::why_orphan::why_orphan;
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::paint::Tone;
use crate::text::Text;

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

/// What was done on such a verdict before, and what proved it then.
pub(super) fn render_past(text: &mut Text, past: &[PastProof]) {
    for proof in past {
        text.gap();
        let reason = proof.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        text.toned(Tone::Strong, format!("{}  {} by {}{reason}", proof.at, proof.action, proof.by));
        proof.evidence.iter().for_each(|piece| text.toned(Tone::Faint, format!("  - {piece}")));
    }
    if !past.is_empty() {
        text.gap();
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
