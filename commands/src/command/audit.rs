//! `audit`: who changed what, when and why.

use clap::Args;
use recovery::report::audit::{AuditEntry, AuditFilter, AuditReport};
use recovery::state::{Timestamp, parse_duration};

use crate::command::page::PageArgs;
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::paint::Tone;
use crate::table::{Cell, Table};

/// Show who changed what, when and why
///
/// The newest first, out of the audit trail and the queue's own log. Ends with 3 when the trail is damaged.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Not before this time, such as 2026-03-01T09:30:00Z, or so long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// Only what was done by somebody or something of which this is a part
    #[arg(long, value_name = "TEXT")]
    by: Option<String>,
    /// Only what was done to this object, such as lock:web, or to objects of this kind, such as job
    #[arg(long, value_name = "OBJECT")]
    object: Option<String>,
    /// Only this action, such as release
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Also what daemons and supervisors record about jobs
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    page: PageArgs,
}

/// A time, or a time ago.
#[derive(Debug, Clone, Copy)]
enum Since {
    At(Timestamp),
    Ago(std::time::Duration),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(at) = text.parse() {
        return Ok(Since::At(at));
    }
    parse_duration(text).map(Since::Ago).map_err(|_| "neither a time nor a duration".to_owned())
}

pub(crate) fn cmd_audit(context: &mut Context, args: &AuditArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let now = dir.clock.now();
    let filter = AuditFilter {
        since: args.since.map(|since| match since {
            Since::At(at) => at,
            Since::Ago(ago) => now.plus_millis(-i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
        }),
        by: args.by.clone(),
        object: args.object.clone(),
        action: args.action.clone(),
        all: args.all,
    };
    let report = AuditReport::read(&dir, &filter, &args.page.page())?;
    context.output.report(&report, |text| {
        text.table(&table(&report.entries));
        text.findings(&report.findings);
    });
    if report.total == 0 {
        context.output.note("nothing was changed");
    }
    Ok(if report.findings.is_empty() { Ending::Done } else { Ending::Degraded })
}

fn table(entries: &[AuditEntry]) -> Table {
    let mut table = Table::new(&["WHEN", "WHO", "ACTION", "OBJECT", "RESULT", "WHY"]);
    for entry in entries {
        let who = entry.user.clone().or(entry.uid.map(|uid| uid.to_string()));
        let terminal = entry.terminal.as_ref().map_or_else(String::new, |t| format!(" ({t})"));
        let result = entry.result.as_str();
        table.row([
            Cell::toned(entry.at.to_string(), Tone::Faint),
            Cell::from(format!("{}{terminal}", who.as_ref().unwrap_or(&entry.by))),
            Cell::from(&entry.action),
            Cell::from(entry.object.to_string()),
            Cell::toned(result, if result == "done" { Tone::Plain } else { Tone::Bad }),
            Cell::from(entry.reason.as_deref().unwrap_or(&entry.detail)),
        ]);
    }
    table
}
