//! `locks detect-stale`: the locks whose holders are gone, and with `--release` gives them back.

use clap::Args;
use recovery::audit::{AuditError, Entry, Trail};
use recovery::findings::Object;
use recovery::locks::{StaleLock, detect_stale as look, release_stale};
use recovery::report::locks::StaleReport;

use crate::command::locks::holders::holders;
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

/// Find the locks whose holders are provably gone
///
/// What cannot be judged is named and never given back here: see `release --force`. Ends with 3 when a lock
/// that was to be given back was not.
#[derive(Debug, Args)]
pub(crate) struct StaleArgs {
    /// Give them back
    #[arg(long)]
    release: bool,
}

pub(crate) fn detect_stale(context: &mut Context, args: &StaleArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let holders = holders(context, &dir)?;
    let liveness = |id: &_, claim| holders.liveness(id, claim);
    let mut found = look(&dir, &liveness)?;
    let dry_run = context.is_dry_run();
    if args.release && !dry_run && !found.stale.is_empty() {
        let trail = Trail::open(&dir)?;
        let actor = context.actor();
        let mut enter = |lock: &StaleLock| -> Result<(), AuditError> {
            let id = lock.lock_id.as_deref().unwrap_or("that cannot be told");
            let detail = format!("stale; lock id {id}");
            let object = Object::lock(&lock.repository);
            let entry = Entry::done(dir.clock.now(), &actor, "release", object, detail);
            trail.record(&entry.with_evidence(lock.evidence.clone())).map(drop)
        };
        release_stale(&dir, &liveness, &mut found, &actor, &mut enter)?;
    }
    let report = StaleReport::new(found, dry_run);
    context.output.report(&report, |text| render(text, &report));
    if report.found.stale.is_empty() && report.found.unknown.is_empty() {
        context.output.note("no lock is stale");
    }
    if !args.release && !report.found.stale.is_empty() {
        context.output.hint("give them back with: recoveryctl locks detect-stale --release");
    }
    Ok(if report.is_incomplete() { Ending::Degraded } else { Ending::Done })
}

fn render(text: &mut Text, report: &StaleReport) {
    let mut table = Table::new(&["REPOSITORY", "LOCK", "HOLDER", "BECAUSE"]);
    for lock in &report.found.stale {
        let (state, tone) = match (&lock.error, lock.released) {
            (_, true) => ("given back", Tone::Good),
            (Some(_), _) => ("not given back", Tone::Bad),
            _ => ("stale", Tone::Warning),
        };
        let because = lock.error.as_deref().or(lock.evidence.last().map(String::as_str)).unwrap_or_default();
        table.row([
            Cell::from(&lock.repository),
            Cell::toned(state, tone),
            Cell::from(lock.holder.as_deref().unwrap_or("not known")),
            Cell::toned(because, Tone::Faint),
        ]);
    }
    for lock in &report.found.unknown {
        table.row([
            Cell::from(&lock.repository),
            Cell::toned("unknown", Tone::Bad),
            Cell::from("not known"),
            Cell::toned(&lock.why, Tone::Faint),
        ]);
    }
    text.table(&table);
    text.line(format!(
        "{} stale, {} live, {} unknown, {} free",
        report.found.stale.len(),
        report.found.live,
        report.found.unknown.len(),
        report.found.free
    ));
}
