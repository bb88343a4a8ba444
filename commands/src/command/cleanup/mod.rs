//! `cleanup state|queue|resuming|completed|start|run|skip|archive`.

pub(crate) mod archive;

use clap::{Args, Subcommand};
use recovery::cleanup::{CleanupPhaseName, CleanupStatus};
use recovery::operations::cleanup::{
    CleanupPhaseSkip, CleanupStateRequest, CleanupsRun, CompletedCleanups, QueuedCleanups, ResumingCleanups,
    RunCleanups, SkipCleanupPhase, StartCleanups, StartReport,
};
use recovery::report::cleanup::{CleanupEntry, CleanupList, CleanupState, CompletedList};
use recovery::state::{Clock, Timestamp, human};

use crate::command::cleanup::archive::{ArchiveArgs, cmd_archive};
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::{Show, operate};
use crate::output::Output;
use crate::table::{Cell, Table};
use crate::text::Text;

/// Remove what jobs left: their code index, Docker objects and files
#[derive(Debug, Args)]
pub(crate) struct CleanupArgs {
    #[command(subcommand)]
    word: CleanupWord,
}

#[derive(Debug, Subcommand)]
enum CleanupWord {
    State(CleanupStateRequest),
    Queue(QueuedCleanups),
    Resuming(ResumingCleanups),
    Completed(CompletedCleanups),
    Start(StartCleanups),
    Run(RunCleanups),
    Archive(ArchiveArgs),
    Skip(SkipCleanupPhase),
}

pub(crate) fn cmd_cleanup(context: &mut Context, args: &CleanupArgs) -> Result<Ending, CliError> {
    match &args.word {
        CleanupWord::State(request) => operate(context, request),
        CleanupWord::Queue(request) => operate(context, request),
        CleanupWord::Resuming(request) => operate(context, request),
        CleanupWord::Completed(request) => operate(context, request),
        CleanupWord::Start(request) => operate(context, request),
        CleanupWord::Run(request) => operate(context, request),
        CleanupWord::Archive(args) => cmd_archive(context, args),
        CleanupWord::Skip(request) => operate(context, request),
    }
}

impl Show for CleanupStateRequest {
    fn show(&self, report: &CleanupState, text: &mut Text) {
        let now = Clock::system().now();
        let c = report.counts;
        text.line(format!(
            "{} pending, {} running, {} waiting, {} parked, {} completed",
            c.pending, c.running, c.waiting, c.parked, c.completed
        ));
        if !report.cleanups.is_empty() {
            text.gap();
            table(text, &report.cleanups, now);
        }
        if !report.findings.is_empty() {
            text.gap();
            text.findings(&report.findings);
        }
    }
}

impl Show for QueuedCleanups {
    fn show(&self, report: &CleanupList, text: &mut Text) {
        show_list(text, report, "no cleanup waits for its turn");
    }
}

impl Show for ResumingCleanups {
    fn show(&self, report: &CleanupList, text: &mut Text) {
        show_list(text, report, "no cleanup was interrupted");
    }
}

fn show_list(text: &mut Text, report: &CleanupList, empty: &str) {
    match report.cleanups.is_empty() {
        true => text.line(empty),
        false => table(text, &report.cleanups, Clock::system().now()),
    }
}

fn table(text: &mut Text, cleanups: &[CleanupEntry], now: Timestamp) {
    let mut table = Table::new(&["CLEANUP", "STATUS", "PHASE", "DONE", "WHAT IS THE MATTER"]);
    for cleanup in cleanups {
        let phase = cleanup.phases.iter().find(|p| Some(p.phase) == cleanup.phase);
        let items = phase.filter(|p| p.items_total > 0);
        let matter = phase.and_then(|p| {
            let when =
                p.next_try_at.map(|at| format!(" (again {})", human::ago(now, at))).unwrap_or_default();
            Some(format!("{}{when}", p.error.as_deref()?))
        });
        let resumed = cleanup.resumed_from.as_ref().map(|from| format!("goes on at {}", from.step));
        table.row([
            Cell::from(&cleanup.cleanup_id),
            Cell::from(cleanup.status.as_str()),
            Cell::from(cleanup.phase.map_or("", CleanupPhaseName::as_str)),
            Cell::from(items.map(|p| format!("{}/{}", p.items_done, p.items_total)).unwrap_or_default()),
            Cell::from(matter.or(resumed).unwrap_or_default()),
        ]);
    }
    text.table(&table);
}

impl Show for CompletedCleanups {
    fn show(&self, report: &CompletedList, text: &mut Text) {
        let now = Clock::system().now();
        if report.cleanups.is_empty() {
            return text.line("no cleanup is over");
        }
        let mut table =
            Table::new(&["CLEANUP", "OVER", "TOOK", "CONTAINERS", "NETWORKS", "VOLUMES", ">FREED"]);
        for entry in &report.cleanups {
            table.row([
                Cell::from(&entry.cleanup.cleanup_id),
                Cell::from(human::ago(now, entry.completed_at)),
                Cell::from(human::duration(entry.duration_ms.unsigned_abs())),
                Cell::from(entry.containers_removed.to_string()),
                Cell::from(entry.networks_removed.to_string()),
                Cell::from(entry.volumes_removed.to_string()),
                Cell::from(human::size(entry.cleanup.bytes_freed)),
            ]);
        }
        text.table(&table);
    }
}

impl Show for StartCleanups {
    fn show(&self, report: &StartReport, text: &mut Text) {
        for started in &report.started {
            let id = started.cleanup_id.as_deref().unwrap_or("(dry run)");
            let word = if started.new { "entered" } else { "is under way" };
            text.line(format!("job {}: cleanup {id} {word}", started.job_id));
        }
        for refused in &report.refused {
            text.line(format!("job {}: refused: {}", refused.job_id, refused.detail));
        }
    }

    fn remark(&self, report: &StartReport, output: &mut Output) {
        if !report.dry_run && !report.started.is_empty() {
            output.hint("a daemon does it, or: recoveryctl cleanup run");
        }
    }
}

impl Show for RunCleanups {
    fn show(&self, report: &CleanupsRun, text: &mut Text) {
        let freed = human::size(report.bytes_freed);
        let (done, waiting, parked) = (report.completed, report.waiting, report.parked);
        text.line(format!(
            "{done} completed, {waiting} to be tried again, {parked} parked; {freed} given back"
        ));
        let open: Vec<_> =
            report.cleanups.iter().filter(|c| c.status != CleanupStatus::Completed).cloned().collect();
        if !open.is_empty() {
            text.gap();
            table(text, &open, Clock::system().now());
        }
        if !report.findings.is_empty() {
            text.gap();
            text.findings(&report.findings);
        }
    }
}

impl Show for SkipCleanupPhase {
    fn show(&self, report: &CleanupPhaseSkip, text: &mut Text) {
        let (id, phase, was) = (&report.cleanup_id, report.phase.as_str(), report.was.as_str());
        text.line(match report.accepted {
            true if report.dry_run => {
                format!("phase {phase} of cleanup {id} would be passed over (it is {was})")
            }
            true => format!("phase {phase} of cleanup {id} is passed over (it was {was})"),
            false => format!("phase {phase} of cleanup {id} is over already: {was}"),
        });
    }
}
