//! `orphans candidates|cleanup|cleanup-log|restore|empty-trash`.

mod trash;

use clap::{Args, Subcommand};
use recovery::operations::orphans::{
    CleanupOrphans, EmptyTrash, OrphanCandidates, OrphansLogRequest, RestoreOrphans,
};
use recovery::report::orphans::{CandidatesReport, OrphansCleanup, OrphansLog};
use recovery::state::{Clock, human};

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::{Show, operate};
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

/// See what no job owns any more, remove it, and take it back
#[derive(Debug, Args)]
pub(crate) struct OrphansArgs {
    #[command(subcommand)]
    word: OrphansWord,
}

#[derive(Debug, Subcommand)]
enum OrphansWord {
    Candidates(OrphanCandidates),
    Cleanup(CleanupOrphans),
    CleanupLog(OrphansLogRequest),
    Restore(RestoreOrphans),
    EmptyTrash(EmptyTrash),
}

pub(crate) fn cmd_orphans(context: &mut Context, args: &OrphansArgs) -> Result<Ending, CliError> {
    match &args.word {
        OrphansWord::Candidates(request) => operate(context, request),
        OrphansWord::Cleanup(request) => operate(context, request),
        OrphansWord::CleanupLog(request) => operate(context, request),
        OrphansWord::Restore(request) => operate(context, request),
        OrphansWord::EmptyTrash(request) => operate(context, request),
    }
}

impl Show for OrphanCandidates {
    fn show(&self, report: &CandidatesReport, text: &mut Text) {
        let now = Clock::system().now();
        let (Some(id), Some(at)) = (&report.plan_id, report.taken_at) else {
            return text.line("no scan has left a plan that can be read: recoveryctl scan");
        };
        text.line(format!("plan {id}, {}", human::ago(now, at)));
        if !report.candidates.is_empty() {
            text.gap();
            table(text, report);
        }
        if !report.trash.is_empty() {
            text.gap();
            text.line("in the trash:");
            for trashed in &report.trash {
                let (size, since) = (human::size(trashed.bytes), human::ago(now, trashed.removed_at));
                text.line(format!("  {} {} ({size}, removed {since})", trashed.id, trashed.object));
            }
        }
    }
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

impl Show for CleanupOrphans {
    fn show(&self, report: &OrphansCleanup, text: &mut Text) {
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
    }
}

impl Show for OrphansLogRequest {
    fn show(&self, report: &OrphansLog, text: &mut Text) {
        let now = Clock::system().now();
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
    }
}
