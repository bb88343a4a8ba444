//! `cleanup state|queue|resuming|completed|start|run|skip|archive`.

pub(crate) mod archive;

use std::io::IsTerminal;

use clap::{Args, Subcommand, ValueEnum};
use recovery::audit::{Entry, Trail};
use recovery::cleanup::{
    Cleaner, CleanupPhaseName, CleanupPhaseStatus, CleanupRecord, CleanupStatus, findings, skip,
};
use recovery::findings::{Finding, Object};
use recovery::operations::cleanup::{
    CleanupStateRequest, CompletedCleanups, QueuedCleanups, ResumingCleanups, StartCleanups, StartReport,
    find_cleanup,
};
use recovery::queue::Queue;
use recovery::report::cleanup::{CleanupEntry, CleanupList, CleanupState, CompletedList};
use recovery::state::{Clock, Timestamp, human};
use serde::Serialize;

use crate::command::cleanup::archive::{ArchiveArgs, cmd_archive};
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::{Show, operate};
use crate::output::Output;
use crate::table::{Cell, Table};
use crate::text::Text;
use recovery::operations::settings::cleaning;

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
    /// Work on every cleanup once, without a daemon, and do not wait for those that are to be tried later
    Run,
    Archive(ArchiveArgs),
    /// Pass a phase of a cleanup over for good
    Skip(SkipPhaseArgs),
}

#[derive(Debug, Args)]
struct SkipPhaseArgs {
    /// The cleanup
    cleanup: String,
    /// The phase
    phase: PhaseWord,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PhaseWord {
    Cidx,
    Docker,
    Filesystem,
}

impl CleanupArgs {
    /// Whether it may change something.
    pub(crate) fn changes(&self) -> bool {
        match &self.word {
            CleanupWord::Start(_) | CleanupWord::Run | CleanupWord::Skip(_) => true,
            CleanupWord::Archive(args) => args.changes(),
            _ => false,
        }
    }
}

pub(crate) fn cmd_cleanup(context: &mut Context, args: &CleanupArgs) -> Result<Ending, CliError> {
    match &args.word {
        CleanupWord::State(request) => operate(context, request),
        CleanupWord::Queue(request) => operate(context, request),
        CleanupWord::Resuming(request) => operate(context, request),
        CleanupWord::Completed(request) => operate(context, request),
        CleanupWord::Start(request) => operate(context, request),
        CleanupWord::Run => run(context),
        CleanupWord::Archive(args) => cmd_archive(context, args),
        CleanupWord::Skip(args) => skip_phase(context, args),
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

#[derive(Debug, Serialize)]
struct RunReport {
    /// Made now because the queue asks for them.
    derived: usize,
    completed: u64,
    waiting: u64,
    parked: u64,
    bytes_freed: u64,
    cleanups: Vec<CleanupEntry>,
    findings: Vec<Finding>,
}

fn run(context: &mut Context) -> Result<Ending, CliError> {
    context.refuse_dry_run()?;
    let dir = context.state_dir()?;
    let settings = cleaning(&context.operation()?);
    let queue = Queue::open(&dir)?;
    let interruption = context.interruption.clone();
    interruption.catch();
    let stop = move || interruption.requested().is_some();
    let lines = std::io::stderr().is_terminal() && !context.output.is_quiet() && !context.output.is_json();
    let bar = lines.then(indicatif::ProgressBar::new_spinner);
    let told = |record: &CleanupRecord| {
        if let Some(bar) = &bar {
            bar.set_message(progress_line(record));
            bar.tick();
        }
    };
    let mut cleaner = Cleaner::new(dir.clone(), queue, settings, &stop);
    let pass = cleaner.pass(true, &told)?;
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let cleanups: Vec<CleanupEntry> = pass.worked_on.iter().map(|r| CleanupEntry::of(r, false)).collect();
    let count = |status| cleanups.iter().filter(|c| c.status == status).count() as u64;
    let report = RunReport {
        derived: pass.derived,
        completed: count(CleanupStatus::Completed),
        waiting: count(CleanupStatus::Waiting) + count(CleanupStatus::Pending),
        parked: count(CleanupStatus::Parked),
        bytes_freed: cleanups.iter().map(|c| c.bytes_freed).sum(),
        findings: findings(&dir, &pass.worked_on, false)?,
        cleanups,
    };
    let now = dir.clock.now();
    context.output.report(&report, |text| {
        let freed = human::size(report.bytes_freed);
        let (done, waiting, parked) = (report.completed, report.waiting, report.parked);
        text.line(format!(
            "{done} completed, {waiting} to be tried again, {parked} parked; {freed} given back"
        ));
        let open: Vec<_> =
            report.cleanups.iter().filter(|c| c.status != CleanupStatus::Completed).cloned().collect();
        if !open.is_empty() {
            text.gap();
            table(text, &open, now);
        }
        if !report.findings.is_empty() {
            text.gap();
            text.findings(&report.findings);
        }
    });
    Ok(if report.waiting + report.parked > 0 { Ending::Degraded } else { Ending::Done })
}

fn progress_line(record: &CleanupRecord) -> String {
    let phase = record.current_phase().and_then(|name| record.phase(name));
    let done = phase.map(|p| format!(" {} {}/{}", p.phase.as_str(), p.items_done, p.items_total));
    format!("{}{}", record.cleanup_id, done.unwrap_or_default())
}

#[derive(Debug, Serialize)]
struct SkipReport {
    cleanup_id: String,
    phase: CleanupPhaseName,
    was: CleanupPhaseStatus,
    accepted: bool,
    dry_run: bool,
}

fn skip_phase(context: &mut Context, args: &SkipPhaseArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let phase = match args.phase {
        PhaseWord::Cidx => CleanupPhaseName::Cidx,
        PhaseWord::Docker => CleanupPhaseName::Docker,
        PhaseWord::Filesystem => CleanupPhaseName::Filesystem,
    };
    let dry_run = context.is_dry_run();
    let was = if dry_run {
        let record = find_cleanup(&dir, &args.cleanup)?;
        record.phase(phase).map_or(CleanupPhaseStatus::Pending, |p| p.status)
    } else {
        let (actor, trail) = (context.actor(), Trail::open(&dir)?);
        let was = skip(&dir, &args.cleanup, phase, &actor)?;
        let detail = format!("phase {}; it was {}", phase.as_str(), was.as_str());
        let object = Object::Cleanup(args.cleanup.to_string());
        trail.record(&Entry::done(dir.clock.now(), &actor, "cleanup skip", object, detail))?;
        was
    };
    let accepted = !was.is_over();
    let report = SkipReport { cleanup_id: args.cleanup.clone(), phase, was, accepted, dry_run };
    context.output.report(&report, |text| {
        let (id, phase, was) = (&report.cleanup_id, phase.as_str(), was.as_str());
        text.line(match accepted {
            true if dry_run => format!("phase {phase} of cleanup {id} would be passed over (it is {was})"),
            true => format!("phase {phase} of cleanup {id} is passed over (it was {was})"),
            false => format!("phase {phase} of cleanup {id} is over already: {was}"),
        });
    });
    Ok(if accepted { Ending::Done } else { Ending::Degraded })
}
