//! `scan`: looks for damage and orphans, for people and for cron.

mod textfile;

use std::path::PathBuf;

use clap::Args;
use recovery::operations::Done;
use recovery::operations::orphans::ScanOrphans;
use recovery::report::orphans::ScanReport;
use recovery::state::human;

use crate::command::scan::textfile::write_textfile;
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::carry_out;
use crate::text::{Text, tone_of};

/// [`ScanOrphans`], and how it is told.
#[derive(Debug, Args)]
#[command(about = ABOUT, long_about = LONG_ABOUT)]
pub(crate) struct ScanArgs {
    #[command(flatten)]
    request: ScanOrphans,
    /// End with status 4 when there are findings
    #[arg(long)]
    exit_code: bool,
    /// Write figures for Prometheus' textfile collector to this file
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
}

const ABOUT: &str = "Look for damage and orphans; change nothing but the saved plan";
const LONG_ABOUT: &str = "Look for damage and orphans; change nothing but the saved plan

Every candidate is in the plan with its checks: see 'orphans candidates'. One scan at a time. With --dry-run neither \
the plan nor the textfile is written.";

pub(crate) fn cmd_scan(context: &mut Context, args: &ScanArgs) -> Result<Ending, CliError> {
    let Some(Done { report, .. }) = carry_out(context, &args.request)? else { return Ok(Ending::Done) };
    if let Some(file) = args.textfile.as_ref().filter(|_| !report.dry_run) {
        write_textfile(&report, file)?;
    }
    context.output.report(&report, |text| render(text, &report, args.request.only_changes));
    Ok(if args.exit_code && !report.findings.is_empty() { Ending::Findings } else { Ending::Done })
}

/// Prints one line for each finding; cron mails whatever is printed.
fn render(text: &mut Text, report: &ScanReport, only_changes: bool) {
    for f in &report.findings {
        text.toned(tone_of(f.severity), format!("{}: {}: {} [{}]", f.severity, f.object, f.sentence, f.code));
    }
    if only_changes {
        return;
    }
    let (total, protected) = (report.candidates_total, report.protected_total);
    let bytes = human::size(report.bytes_total);
    text.line(match total {
        0 => "no orphans".to_owned(),
        _ => {
            let candidates = human::count(total, "candidate");
            format!("{candidates}, {protected} of them protected; {bytes} can be given back")
        }
    });
    match &report.plan_id {
        Some(id) if total > protected => {
            text.line(format!("plan {id}: recoveryctl orphans cleanup --plan {id}"));
        }
        Some(_) => {}
        None => text.line("a dry run: no plan was saved"),
    }
}
