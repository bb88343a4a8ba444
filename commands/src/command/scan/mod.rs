//! `scan`: looks for damage and orphans, for people and for cron.

mod textfile;

use std::path::PathBuf;

use clap::Args;
use recovery::findings::{Finding, Object, catalogue};
use recovery::orphans::{OrphanKind, OrphanPlan, ScanContext, plan, rehearse, scan};
use recovery::queue::Queue;
use recovery::report::cleanup::CleanupState;
use recovery::report::orphans::ScanReport;
use recovery::report::page::Page;
use recovery::report::queue::findings;
use recovery::state::{StateDir, human};

use crate::command::locks::holders::holders;
use crate::command::scan::textfile::write_textfile;
use crate::command::status::status_of;
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::text::{Text, tone_of};
use recovery::operations::settings::scanning;

/// Look for damage and orphans; change nothing but the saved plan
///
/// Every candidate is in the plan with its checks: see 'orphans candidates'. One scan at a time. With --dry-run
/// neither the plan nor the textfile is written.
#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// Only orphans of this kind; may be given several times
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    kinds: Vec<OrphanKind>,
    /// End with status 4 when there are findings
    #[arg(long)]
    exit_code: bool,
    /// Tell only what the scan before did not find, and nothing when there is nothing
    #[arg(long)]
    only_changes: bool,
    /// Write figures for Prometheus' textfile collector to this file
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
}

/// A kind of orphan by its word.
pub(crate) fn kind(word: &str) -> Result<OrphanKind, String> {
    OrphanKind::of(word).ok_or_else(|| {
        let known: Vec<&str> = OrphanKind::ALL.iter().map(|k| k.as_str()).collect();
        format!("one of: {}", known.join(", "))
    })
}

pub(crate) fn cmd_scan(context: &mut Context, args: &ScanArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let dry_run = context.is_dry_run();
    let before = if args.only_changes { plan(&dir)? } else { None };
    let found = make_plan(context, &dir, &args.kinds)?;
    if let Some(file) = args.textfile.as_ref().filter(|_| !dry_run) {
        write_textfile(&dir, &found, file)?;
    }
    let before = before.as_ref().map(OrphanPlan::told).unwrap_or_default();
    let report = ScanReport::new(&found, args.only_changes.then_some(&before), dry_run);
    context.output.report(&report, |text| render(text, &report, args.only_changes));
    Ok(if args.exit_code && !report.findings.is_empty() { Ending::Findings } else { Ending::Done })
}

/// Scans, and saves the plan; a rehearsal saves nothing.
fn make_plan(context: &mut Context, dir: &StateDir, kinds: &[OrphanKind]) -> Result<OrphanPlan, CliError> {
    let settings = scanning(&context.operation()?);
    let queue = Queue::open(dir)?;
    let holders = holders(context, dir)?;
    let liveness = |id: &_, claim| holders.liveness(id, claim);
    let mut damage = findings(queue.replayed());
    damage.extend(CleanupState::read(dir, &Page::default())?.findings);
    // What else cannot be used, or is lost: as the status tells it.
    let known: Vec<(String, Object)> =
        damage.iter().map(|f| (f.code.to_string(), f.object.clone())).collect();
    let is_new = |f: &Finding| !known.contains(&(f.code.to_string(), f.object.clone()));
    let of_files = |f: &Finding| f.tells_of_loss() || f.code == catalogue::LOCK_UNAVAILABLE.code;
    damage.extend(status_of(context)?.findings.into_iter().filter(|f| of_files(f) && is_new(f)));
    let world = ScanContext::look(dir, &settings, &queue)?;
    let make = if context.is_dry_run() { rehearse } else { scan };
    make(&world, &liveness, kinds, damage).map_err(|e| match e {
        recovery::orphans::ScanError::Lock(error) => error.into(),
        recovery::orphans::ScanError::Disk(error) => error.into(),
        other => CliError::new(ErrorKind::Failed, other),
    })
}

/// One line a finding; cron mails whatever is printed.
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
