//! `import claude-batch-server WORKSPACE`: takes over what a crashed server of another kind has left.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use recovery::findings::catalogue;
use recovery::import::{CommandTemplate, ImportOptions, ImportReport, JobAction, OrphanKind, take_over};
use recovery::state::{StateDir, human};

use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

/// How many jobs are listed; `--json` has all.
const LISTED: usize = 40;

/// Take over the jobs of another server that has crashed
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    server: Server,
}

#[derive(Debug, Subcommand)]
enum Server {
    /// The workspace of the C#/.NET batch server; it is only read, and a repeated import changes nothing
    ///
    /// Queued jobs keep their order, running ones are watched on, ended ones keep their exit status. The
    /// command that runs an imported job again is import.claude_batch_server.command in the configuration.
    /// Exits with 3 when a job file is damaged or a job could not be taken over.
    ClaudeBatchServer {
        /// The server's folder, which has jobs/ in it
        workspace: PathBuf,
    },
}

pub(crate) fn cmd_import(context: &mut Context, args: &ImportArgs) -> Result<Ending, CliError> {
    let Server::ClaudeBatchServer { workspace } = &args.server;
    let template = CommandTemplate::from_words(&context.settings()?.import.command)?;
    let dry_run = context.is_dry_run();
    let options = ImportOptions { template, actor: context.actor(), dry_run };
    let (dir, _scratch) = target(context, dry_run)?;
    let report = take_over(&dir, workspace, &options)?;
    context.output.report(&report, |text| render(text, &report));
    if context.output.is_attended() && report.counts.queued > 0 && !dry_run {
        context.output.hint("run the queued jobs with: recoveryctl daemon, or recoveryctl work --once");
    }
    Ok(if left_something_out(&report) { Ending::Degraded } else { Ending::Done })
}

/// The state directory. A dry run must not make one: when there is none it looks at an empty one, which
/// is removed afterwards.
fn target(context: &mut Context, dry_run: bool) -> Result<(StateDir, Option<tempfile::TempDir>), CliError> {
    if !dry_run {
        return Ok((context.operation()?.state_dir_or_create()?, None));
    }
    if let Some(dir) = context.operation()?.state_dir_if_any()? {
        return Ok((dir, None));
    }
    let failed =
        |e| CliError::new(ErrorKind::Failed, format!("cannot make a temporary folder for the dry run: {e}"));
    let scratch = tempfile::tempdir().map_err(failed)?;
    let (disk, clock) = (recovery::durable::Disk::real(), recovery::state::Clock::system());
    let dir = StateDir::open_or_create(&scratch.path().join("state"), disk, clock)?;
    Ok((dir, Some(scratch)))
}

/// Whether something is damaged or a job was left out; a finding about a process or a folder alone does not
/// count.
fn left_something_out(report: &ImportReport) -> bool {
    let codes = [catalogue::IMPORT_JOB_FILE_DAMAGED.code, catalogue::IMPORT_JOB_LEFT_OUT.code];
    !report.quarantined.is_empty() || report.findings.iter().any(|f| codes.contains(&f.code.as_ref()))
}

fn render(text: &mut Text, report: &ImportReport) {
    let verb = if report.dry_run { "would take over" } else { "took over" };
    let known = match report.unchanged {
        0 => String::new(),
        n => format!("; {n} were in the queue already and were left alone"),
    };
    text.toned(
        Tone::Strong,
        format!("{verb} {} from {}{known}", human::count(report.imported, "job"), report.workspace),
    );
    text.line(in_words(report));
    jobs(text, report);
    if !report.quarantined.is_empty() {
        text.gap();
        text.toned(Tone::Warning, human::count(report.quarantined.len(), "damaged or unusable job file"));
        for file in &report.quarantined {
            text.line(format!("  {}: {}", file.path, file.reason));
        }
    }
    if !report.orphans.is_empty() {
        text.gap();
        text.toned(
            Tone::Strong,
            format!("{} without an owner, left in place", human::count(report.orphans.len(), "folder")),
        );
        for orphan in &report.orphans {
            let kind = match orphan.kind {
                OrphanKind::JobDirectory => "job folder",
                OrphanKind::StagingDirectory => "uploads",
            };
            let live = orphan.live_pid.map_or_else(String::new, |pid| format!(", process {pid} works there"));
            text.line(format!("  {}: {kind}{live}", orphan.path));
        }
    }
    if !report.findings.is_empty() {
        text.gap();
        text.findings(&report.findings);
    }
}

/// `12 queued, 3 running, 1 failed`
fn in_words(report: &ImportReport) -> String {
    let c = &report.counts;
    let all = [
        (c.queued, "queued"),
        (c.running, "running"),
        (c.succeeded, "succeeded"),
        (c.failed, "failed"),
        (c.timed_out, "timed out"),
        (c.crashed, "crashed"),
        (c.cancelled, "cancelled"),
    ];
    let words: Vec<String> =
        all.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    if words.is_empty() { "no jobs".to_owned() } else { words.join(", ") }
}

fn jobs(text: &mut Text, report: &ImportReport) {
    if report.jobs.is_empty() {
        return;
    }
    text.gap();
    let mut table = Table::new(&["JOB", "STATUS", ">PLACE", ">EXIT", "REPOSITORY", "WHY"]);
    for job in report.jobs.iter().take(LISTED) {
        let number = |n: Option<String>| Cell::from(n.unwrap_or_default());
        let why = match job.action {
            JobAction::Unchanged => "known already".to_owned(),
            JobAction::Imported => job.reason.clone().unwrap_or_default(),
        };
        table.row([
            Cell::from(job.job_id.to_string()),
            Cell::from(job.status.as_str()),
            number(job.position.map(|n| n.to_string())),
            number(job.exit_code.map(|n| n.to_string())),
            Cell::from(job.repository.clone().unwrap_or_default()),
            Cell::from(why),
        ]);
    }
    text.table(&table);
    if report.jobs.len() > LISTED {
        text.line(format!("… and {} more; --json lists all", report.jobs.len() - LISTED));
    }
}
