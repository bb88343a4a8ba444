//! `locks active`, `recovered` and `inspect`.

use clap::Args;
use recovery::locks::{LockRefused, inspect, list};
use recovery::report::locks::{ActiveLock, ActiveLocks, InspectedLock, InspectedLocks, RecoveredLocks};
use recovery::state::{Timestamp, human};

use crate::command::locks::holders::holders;
use crate::command::page::PageArgs;
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;
use recovery::operations::history::last_recovery;

/// Show all that is known of locks, with the evidence
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Only the lock of this repository
    #[arg(value_name = "REPO")]
    repository: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

pub(crate) fn active(context: &mut Context, page: &PageArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let holders = holders(context, &dir)?;
    let locks = list(&dir, &|id, claim| holders.liveness(id, claim))?;
    let (queue, now) = (context.queue_to_look(&dir)?, dir.clock.now());
    let report = ActiveLocks::new(&dir, locks, queue.state(), &page.page())?;
    context.output.report(&report, |text| text.table(&table(&report.locks, now)));
    if report.total == 0 {
        context.output.note("no repository is locked");
    }
    Ok(Ending::Done)
}

fn table(locks: &[ActiveLock], now: Timestamp) -> Table {
    let mut table = Table::new(&["REPOSITORY", "LOCK", "HOLDER", "SINCE", ">WAITING", "HOLDER'S ID"]);
    for lock in locks {
        table.row([
            Cell::from(&lock.repository),
            Cell::toned(lock.verdict, tone_of(lock.verdict)),
            Cell::from(lock.holder.as_deref().unwrap_or("not known")),
            Cell::from(lock.acquired_at.map_or_else(String::new, |at| human::ago(now, at))),
            Cell::from(if lock.waiting.is_empty() { String::new() } else { lock.waiting.len().to_string() }),
            Cell::toned(lock.lock_id.as_deref().unwrap_or_default(), Tone::Faint),
        ]);
    }
    table
}

pub(crate) fn tone_of(verdict: &str) -> Tone {
    match verdict {
        "live" => Tone::Good,
        "stale" => Tone::Warning,
        "unknown" => Tone::Bad,
        _ => Tone::Plain,
    }
}

pub(crate) fn recovered(context: &mut Context, page: &PageArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let last = last_recovery(&mut context.operation()?, &dir);
    let report = RecoveredLocks::new(last.as_ref(), &page.page())?;
    context.output.report(&report, |text| {
        let mut table = Table::new(&["REPOSITORY", "OUTCOME", "HOLDER", "BECAUSE"]);
        for lock in &report.locks {
            let outcome = serde_json::to_value(lock.outcome).unwrap_or_default();
            table.row([
                Cell::from(&lock.repository),
                Cell::from(outcome.as_str().unwrap_or_default()),
                Cell::from(lock.holder.as_deref().unwrap_or("not known")),
                Cell::toned(lock.evidence.last().map_or("", String::as_str), Tone::Faint),
            ]);
        }
        text.table(&table);
    });
    match (&report.recovery_id, report.total) {
        (None, _) => context.output.note("there was no recovery yet"),
        (_, 0) => context.output.note("the last recovery found no lock held"),
        _ => {}
    }
    Ok(Ending::Done)
}

pub(crate) fn inspected(context: &mut Context, args: &InspectArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let holders = holders(context, &dir)?;
    let liveness = |id: &_, claim| holders.liveness(id, claim);
    let locks = match &args.repository {
        None => list(&dir, &liveness)?,
        Some(name) => {
            let lock = inspect(&dir, name, &liveness).map_err(LockRefused::from)?;
            vec![lock.ok_or_else(|| no_such_lock(name))?]
        }
    };
    let (queue, now) = (context.queue_to_look(&dir)?, dir.clock.now());
    let report = InspectedLocks::new(&dir, locks, queue.state(), &args.page.page())?;
    context.output.report(&report, |text| {
        for lock in &report.locks {
            text.gap();
            describe(text, lock, now);
        }
    });
    if report.total == 0 {
        context.output.note("no repository was ever locked");
    }
    Ok(Ending::Done)
}

pub(crate) fn no_such_lock(repository: &str) -> CliError {
    CliError::new(ErrorKind::NotFound, format!("no lock of a repository '{repository}' was ever granted"))
        .code("no-such-lock")
        .hint("recoveryctl locks inspect")
}

fn describe(text: &mut Text, lock: &InspectedLock, now: Timestamp) {
    let about = &lock.lock;
    text.toned(tone_of(about.verdict), format!("{}  {}", about.repository, about.verdict));
    let at = |at: Timestamp| format!("{at} ({})", human::ago(now, at));
    let note = lock.released_by.as_ref().map(|note| {
        let force = if note.forced { ", by force" } else { "" };
        note.why
            .as_ref()
            .map_or_else(|| format!("{}{force}", note.by), |why| format!("{}{force}: {why}", note.by))
    });
    text.fields(&[
        ("holder", about.holder.clone()),
        ("lock id", about.lock_id.clone()),
        ("fencing number", about.token.map(|n| n.to_string())),
        ("operation", about.operation.clone()),
        ("since", about.acquired_at.map(at)),
        ("given back", lock.released_at.map(at)),
        ("given back by", note),
        ("unavailable", lock.reason.clone()),
        ("waiting", (!about.waiting.is_empty()).then(|| about.waiting.join(", "))),
        ("file", Some(lock.file.clone())),
    ]);
    for piece in &lock.evidence {
        text.toned(Tone::Faint, format!("  - {piece}"));
    }
}
