//! `orphans restore ID…` and `orphans empty-trash`.

use clap::Args;
use recovery::audit::{Entry, Trail};
use recovery::orphans::{Emptied, TrashError, empty_trash, trashed};
use recovery::state::format_size;
use serde::Serialize;

use crate::cleaning::scanning;
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::paint::Tone;

/// Move removed folders back to where they were
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The candidates' ids, as 'orphans candidates' shows them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RestoreReport {
    restored: Vec<Restored>,
    refused: Vec<NotRestored>,
}

#[derive(Debug, Serialize)]
struct Restored {
    id: String,
    object: String,
    path: String,
}

#[derive(Debug, Serialize)]
struct NotRestored {
    id: String,
    detail: String,
}

pub(super) fn restore(context: &mut Context, args: &RestoreArgs) -> Result<Ending, CliError> {
    context.refuse_dry_run()?;
    let dir = context.state_dir()?;
    let (actor, trail) = (context.actor(), Trail::open(&dir)?);
    let mut report = RestoreReport { restored: Vec::new(), refused: Vec::new() };
    for id in &args.ids {
        match recovery::orphans::restore(&dir, id, &actor) {
            Ok(found) => {
                let (object, path) = (found.object.clone(), found.from.display().to_string());
                let detail = format!("to {path}");
                let entry = Entry::done(dir.clock.now(), &actor, "orphans restore", object.clone(), detail);
                trail.record(&entry)?;
                report.restored.push(Restored { id: id.clone(), object, path });
            }
            Err(error) if args.ids.len() == 1 => return Err(error.into()),
            Err(error) => report.refused.push(NotRestored { id: id.clone(), detail: error.to_string() }),
        }
    }
    context.output.report(&report, |text| {
        for r in &report.restored {
            text.line(format!("restored {} to {}", r.object, r.path));
        }
        for r in &report.refused {
            text.line(format!("{}: {}", r.id, r.detail));
        }
    });
    Ok(if report.refused.is_empty() { Ending::Done } else { Ending::Degraded })
}

#[derive(Debug, Serialize)]
struct EmptyReport {
    emptied: Vec<String>,
    /// What could not be deleted, and is still there.
    failed: Vec<NotEmptied>,
    bytes_freed: u64,
}

#[derive(Debug, Serialize)]
struct NotEmptied {
    id: String,
    object: String,
    error: String,
}

pub(super) fn empty(context: &mut Context) -> Result<Ending, CliError> {
    context.refuse_dry_run()?;
    let dir = context.state_dir()?;
    let settings = scanning(context)?;
    let waiting = trashed(&dir)?;
    if !waiting.is_empty() {
        let bytes = format_size(waiting.iter().map(|t| t.bytes).sum());
        context.confirm(&format!("delete {} folders for good ({bytes})?", waiting.len()))?;
    }
    let (actor, trail) = (context.actor(), Trail::open(&dir)?);
    let emptied = empty_trash(&dir, &settings, true)?;
    let bytes_freed = emptied.iter().map(|e| e.bytes).sum();
    let (failed, gone): (Vec<_>, Vec<_>) = emptied.into_iter().partition(|e| e.left.is_some());
    let detail = format!("{} deleted, {} not, {bytes_freed} bytes", gone.len(), failed.len());
    trail.record(&Entry::done(dir.clock.now(), &actor, "orphans empty-trash", "trash".to_owned(), detail))?;
    let not_emptied = |e: Emptied| NotEmptied {
        id: e.trashed.id,
        object: e.trashed.object,
        error: e.left.unwrap_or_default(),
    };
    let report = EmptyReport {
        emptied: gone.into_iter().map(|e| e.trashed.object).collect(),
        failed: failed.into_iter().map(not_emptied).collect(),
        bytes_freed,
    };
    context.output.report(&report, |text| {
        for f in &report.failed {
            text.toned(Tone::Bad, format!("failed {}: {}", f.object, f.error));
        }
        let freed = format_size(report.bytes_freed);
        text.line(format!(
            "{} deleted, {} failed; {freed} given back",
            report.emptied.len(),
            report.failed.len()
        ));
    });
    Ok(if report.failed.is_empty() { Ending::Done } else { Ending::Degraded })
}

impl From<TrashError> for CliError {
    fn from(error: TrashError) -> CliError {
        match error {
            TrashError::NotThere { .. } => CliError::new(ErrorKind::NotFound, error)
                .code("not-in-the-trash")
                .hint("recoveryctl orphans candidates"),
            TrashError::Taken { .. } => CliError::new(ErrorKind::Refused, error).code("place-taken"),
            TrashError::Lock(error) => error.into(),
            TrashError::Log(error) => error.into(),
            TrashError::Disk(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}
