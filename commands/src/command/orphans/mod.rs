//! `orphans candidates|cleanup|cleanup-log|restore|empty-trash`.

mod trash;

use clap::{Args, Subcommand};
use recovery::audit::{Entry, Trail};
use recovery::orphans::{OrphanKind, Request, entries, execute, plan, trashed};
use recovery::queue::Queue;
use recovery::report::orphans::{CandidatesReport, OrphansCleanup, OrphansLog};
use recovery::state::{StateDir, human};

use crate::command::locks::holders::holders;
use crate::command::orphans::trash::{RestoreArgs, empty, restore};
use crate::command::page::PageArgs;
use crate::command::scan::kind;
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;
use recovery::operations::jobs::ids::whole;
use recovery::operations::settings::scanning;

/// See what no job owns any more, remove it, and take it back
#[derive(Debug, Args)]
pub(crate) struct OrphansArgs {
    #[command(subcommand)]
    word: OrphansWord,
}

#[derive(Debug, Subcommand)]
enum OrphansWord {
    /// Show the plan of the last scan: every candidate with its safety checks
    Candidates(CandidatesArgs),
    /// Carry the plan out: each check is made anew right before each removal
    Cleanup(OrphansCleanupArgs),
    /// Show what was removed, refused, restored
    CleanupLog(PageArgs),
    /// Move removed folders back to where they were
    Restore(RestoreArgs),
    /// Delete what can be restored, and give its space back
    EmptyTrash,
}

#[derive(Debug, Args)]
struct CandidatesArgs {
    /// Only of this kind; may be given several times
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    kinds: Vec<OrphanKind>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, Args)]
struct OrphansCleanupArgs {
    /// The plan; refused when there was another scan since [default: that of the last scan]
    #[arg(long, value_name = "ID")]
    plan: Option<String>,
    /// Only these candidates
    #[arg(long = "id", value_name = "ID", num_args = 1..)]
    ids: Vec<String>,
    /// Only candidates of these kinds
    #[arg(long = "kind", value_name = "KIND", num_args = 1.., value_parser = kind)]
    kinds: Vec<OrphanKind>,
}

impl OrphansArgs {
    /// Whether it may change something.
    pub(crate) fn changes(&self) -> bool {
        !matches!(self.word, OrphansWord::Candidates(_) | OrphansWord::CleanupLog(_))
    }
}

pub(crate) fn cmd_orphans(context: &mut Context, args: &OrphansArgs) -> Result<Ending, CliError> {
    match &args.word {
        OrphansWord::Candidates(args) => candidates(context, args),
        OrphansWord::Cleanup(args) => cleanup(context, args),
        OrphansWord::CleanupLog(page) => cleanup_log(context, page),
        OrphansWord::Restore(args) => restore(context, args),
        OrphansWord::EmptyTrash => empty(context),
    }
}

fn candidates(context: &mut Context, args: &CandidatesArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let saved = plan(&dir)?;
    let report = CandidatesReport::new(saved.as_ref(), &args.kinds, trashed(&dir)?, &args.page.page())?;
    let now = dir.clock.now();
    context.output.report(&report, |text| {
        let (Some(id), Some(at)) = (&report.plan_id, report.taken_at) else {
            return text.line("no scan has left a plan that can be read: recoveryctl scan");
        };
        text.line(format!("plan {id}, {}", human::ago(now, at)));
        if !report.candidates.is_empty() {
            text.gap();
            table(text, &report);
        }
        if !report.trash.is_empty() {
            text.gap();
            text.line("in the trash:");
            for trashed in &report.trash {
                let (size, since) = (human::size(trashed.bytes), human::ago(now, trashed.removed_at));
                text.line(format!("  {} {} ({size}, removed {since})", trashed.id, trashed.object));
            }
        }
    });
    Ok(Ending::Done)
}

fn table(text: &mut Text, report: &CandidatesReport) {
    let mut table = Table::new(&["ID", "WHAT", ">SIZE", ">AGE", "SAFE", "WHAT PROTECTS IT"]);
    for c in &report.candidates {
        let objection = c.checks.iter().find(|check| check.passed != Some(true));
        let (word, tone) = match objection.map(|o| o.passed) {
            None => ("yes", Tone::Good),
            Some(None) => ("unknown", Tone::Warning),
            Some(_) => ("no", Tone::Plain),
        };
        table.row([
            Cell::from(&c.id),
            Cell::from(&c.object),
            Cell::from(if c.bytes > 0 { human::size(c.bytes) } else { String::new() }),
            Cell::from(c.age_ms.map(|ms| human::duration(ms.unsigned_abs())).unwrap_or_default()),
            Cell::toned(word, tone),
            Cell::from(objection.map(|o| format!("{}: {}", o.check, o.evidence)).unwrap_or_default()),
        ]);
    }
    text.table(&table);
}

fn cleanup(context: &mut Context, args: &OrphansCleanupArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let known = plan(&dir)?;
    let known = || known.iter().flat_map(|plan| plan.candidates.iter().map(|c| &*c.id));
    let ids = args.ids.iter().map(|id| whole(known(), id)).collect::<Result<Vec<String>, _>>()?;
    let mut request =
        Request { plan_id: args.plan.clone(), ids: ids.clone(), kinds: args.kinds.clone(), dry_run: true };
    if context.is_dry_run() {
        let report = carry_out(context, &dir, &request)?;
        return show(context, &report, args);
    }
    // What the operator agrees to is what the plan said when it was asked; it can only shrink after that.
    let saved = plan(&dir)?;
    request.plan_id = request.plan_id.or_else(|| saved.as_ref().map(|p| p.plan_id.clone()));
    request.dry_run = false;
    if let Some(plan) = saved.filter(|p| Some(&p.plan_id) == request.plan_id.as_ref()) {
        let meant = plan.candidates.iter().filter(|c| {
            c.safe
                && (ids.is_empty() || ids.contains(&c.id))
                && (args.kinds.is_empty() || args.kinds.contains(&c.kind))
        });
        let (count, bytes) = meant.fold((0, 0), |(n, bytes), c| (n + 1, bytes + c.bytes));
        if count > 0 {
            let orphans = human::count(count, "orphan");
            context.confirm(&format!("remove {orphans} ({})?", human::size(bytes)))?;
        }
    }
    let (actor, trail) = (context.actor(), Trail::open(&dir)?);
    let report = carry_out(context, &dir, &request)?;
    let (removed, refused, failed) = (report.removed.len(), report.refused.len(), report.failed.len());
    let detail = format!("{removed} removed, {refused} refused, {failed} failed");
    let object = format!("plan:{}", report.plan_id);
    trail.record(&Entry::done(dir.clock.now(), &actor, "orphans cleanup", object, detail))?;
    show(context, &report, args)
}

fn carry_out(context: &mut Context, dir: &StateDir, request: &Request) -> Result<OrphansCleanup, CliError> {
    let settings = scanning(&context.operation()?);
    let mut queue = Queue::open(dir)?;
    let holders = holders(context, dir)?;
    let liveness = |id: &_, claim| holders.liveness(id, claim);
    let executed = execute(dir, &mut queue, &settings, &liveness, request, &mut |_, _| ())?;
    Ok(OrphansCleanup::new(&executed))
}

fn show(
    context: &mut Context,
    report: &OrphansCleanup,
    args: &OrphansCleanupArgs,
) -> Result<Ending, CliError> {
    // One that was named and is protected is a refusal, not a part of something done.
    if let ([only], [refused], []) =
        (args.ids.as_slice(), report.refused.as_slice(), report.removed.as_slice())
    {
        let message =
            format!("{only} ({}) is protected: {}: {}", refused.object, refused.check, refused.detail);
        return Err(CliError::new(ErrorKind::Refused, message).code("orphan-protected"));
    }
    context.output.report(report, |text| {
        let word = if report.dry_run { "would remove" } else { "removed" };
        for r in &report.removed {
            let how = if report.dry_run { String::new() } else { format!(": {}", r.how) };
            text.line(format!("{word} {}{how}", r.object));
        }
        for r in &report.refused {
            text.toned(Tone::Warning, format!("refused {}: {}: {}", r.object, r.check, r.detail));
        }
        for f in &report.failed {
            text.toned(Tone::Bad, format!("failed {}: {}", f.object, f.error));
        }
        let freed = human::size(report.bytes_freed);
        let total = match report.removed.len() {
            0 => "nothing to remove".to_owned(),
            n => format!("{word} {}, {freed}", human::count(n, "orphan")),
        };
        let others = [(report.refused.len(), "refused"), (report.failed.len(), "failed")];
        let others = others.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("; {n} {what}"));
        text.line(total + &others.collect::<String>());
    });
    Ok(if report.refused.is_empty() && report.failed.is_empty() { Ending::Done } else { Ending::Degraded })
}

fn cleanup_log(context: &mut Context, page: &PageArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let report = OrphansLog::new(entries(&dir)?, &page.page())?;
    let now = dir.clock.now();
    context.output.report(&report, |text| {
        if report.entries.is_empty() {
            return text.line("nothing was done yet");
        }
        let mut table = Table::new(&["WHEN", "RESULT", "WHAT", ">SIZE", "DETAIL"]);
        for e in &report.entries {
            table.row([
                Cell::from(human::ago(now, e.at)),
                Cell::from(&e.result),
                Cell::from(&e.object),
                Cell::from(if e.bytes_freed > 0 { human::size(e.bytes_freed) } else { String::new() }),
                Cell::from(&e.detail),
            ]);
        }
        text.table(&table);
    });
    Ok(Ending::Done)
}
