//! `orphans restore ID…` and `orphans empty-trash`.

use clap::Args;
use recovery::audit::{Entry, Trail};
use recovery::orphans::{Emptied, TrashError, Trashed, empty_trash, trashed};
use recovery::state::{StateDir, human};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::paint::Tone;
use recovery::operations::jobs::ids::whole;
use recovery::operations::settings::scanning;

/// Move removed folders back to where they were
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The candidates' ids, as 'orphans candidates' shows them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RestoreReport {
    restored: Vec<Restored>,
    refused: Vec<NotRestored>,
    dry_run: bool,
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

pub(crate) fn restore(context: &mut Context, args: &RestoreArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let (actor, dry_run) = (context.actor(), context.is_dry_run());
    let trail = if dry_run { None } else { Some(Trail::open(&dir)?) };
    let mut report = RestoreReport { restored: Vec::new(), refused: Vec::new(), dry_run };
    let known: Vec<String> = trashed(&dir)?.into_iter().map(|t| t.id).collect();
    for id in &args.ids {
        let id = &whole(known.iter().map(String::as_str), id)?;
        let restored = match dry_run {
            true => would_restore(&dir, id),
            false => recovery::orphans::restore(&dir, id, &actor),
        };
        match restored {
            Ok(found) => {
                let (object, path) = (found.object.clone(), found.from.display().to_string());
                if let Some(trail) = &trail {
                    let (at, detail) = (dir.clock.now(), format!("to {path}"));
                    trail.record(&Entry::done(at, &actor, "orphans restore", object.clone(), detail))?;
                }
                report.restored.push(Restored { id: id.clone(), object, path });
            }
            Err(error) if args.ids.len() == 1 => return Err(error.into()),
            Err(error) => report.refused.push(NotRestored { id: id.clone(), detail: error.to_string() }),
        }
    }
    context.output.report(&report, |text| {
        let word = if dry_run { "would restore" } else { "restored" };
        for r in &report.restored {
            text.line(format!("{word} {} to {}", r.object, r.path));
        }
        for r in &report.refused {
            text.line(format!("{}: {}", r.id, r.detail));
        }
    });
    Ok(if report.refused.is_empty() { Ending::Done } else { Ending::Degraded })
}

/// What a restoration finds, without it.
fn would_restore(dir: &StateDir, id: &str) -> Result<Trashed, TrashError> {
    let found = trashed(dir)?.into_iter().find(|trashed| trashed.id == id);
    let found = found.ok_or_else(|| TrashError::NotThere { id: id.to_owned() })?;
    match found.from.symlink_metadata() {
        Ok(_) => Err(TrashError::Taken { path: found.from }),
        Err(_) => Ok(found),
    }
}

#[derive(Debug, Serialize)]
struct EmptyReport {
    emptied: Vec<String>,
    /// What could not be deleted, and is still there.
    failed: Vec<NotEmptied>,
    bytes_freed: u64,
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct NotEmptied {
    id: String,
    object: String,
    error: String,
}

pub(crate) fn empty(context: &mut Context) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let waiting = trashed(&dir)?;
    let dry_run = context.is_dry_run();
    let emptied = match dry_run {
        true => waiting.into_iter().map(would_empty).collect(),
        false => do_empty(context, &dir, &waiting)?,
    };
    let bytes_freed = emptied.iter().map(|e| e.bytes).sum();
    let (failed, gone): (Vec<_>, Vec<_>) = emptied.into_iter().partition(|e| e.left.is_some());
    let not_emptied = |e: Emptied| NotEmptied {
        id: e.trashed.id,
        object: e.trashed.object,
        error: e.left.unwrap_or_default(),
    };
    let report = EmptyReport {
        emptied: gone.into_iter().map(|e| e.trashed.object).collect(),
        failed: failed.into_iter().map(not_emptied).collect(),
        bytes_freed,
        dry_run,
    };
    context.output.report(&report, |text| {
        for f in &report.failed {
            text.toned(Tone::Bad, format!("failed {}: {}", f.object, f.error));
        }
        let (deleted, failed) = (report.emptied.len(), report.failed.len());
        let freed = human::size(report.bytes_freed);
        text.line(match dry_run {
            true => format!("{deleted} would be deleted; {freed} would be given back"),
            false => format!("{deleted} deleted, {failed} failed; {freed} given back"),
        });
    });
    Ok(if report.failed.is_empty() { Ending::Done } else { Ending::Degraded })
}

/// What is expected of a deletion; whether something withstands it is only known when it is done.
fn would_empty(trashed: Trashed) -> Emptied {
    Emptied { bytes: trashed.bytes, trashed, left: None }
}

/// Asks, and does it.
fn do_empty(context: &mut Context, dir: &StateDir, waiting: &[Trashed]) -> Result<Vec<Emptied>, CliError> {
    let settings = scanning(&context.operation()?);
    if !waiting.is_empty() {
        let bytes = human::size(waiting.iter().map(|t| t.bytes).sum());
        context.confirm(&format!("delete {} for good ({bytes})?", human::count(waiting.len(), "folder")))?;
    }
    let (actor, trail) = (context.actor(), Trail::open(dir)?);
    let emptied = empty_trash(dir, &settings, true)?;
    let bytes_freed: u64 = emptied.iter().map(|e| e.bytes).sum();
    let failed = emptied.iter().filter(|e| e.left.is_some()).count();
    let detail = format!("{} deleted, {failed} not, {}", emptied.len() - failed, human::size(bytes_freed));
    trail.record(&Entry::done(dir.clock.now(), &actor, "orphans empty-trash", "trash".to_owned(), detail))?;
    Ok(emptied)
}
