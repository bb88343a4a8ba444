//! `recovery …`: how the present recovery stands, and how the past ones went.

use clap::{Args, Subcommand};
use recovery::recovery::{HistoryEntry, PhaseProgress, PhaseStatus, Recovery, RecoveryOutcome, read_current};
use recovery::report::dashboard::Dashboard;
use recovery::report::recovery::{Phases, RecoveryHistory, RecoveryMetrics};
use recovery::startup::StartedBy;
use recovery::state::{StateDir, Timestamp, human};

use crate::command::page::PageArgs;
use crate::command::status::{StatusArgs, cmd_status, daemon_of, ending, gathered, render as render_status};
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::paint::Tone;
use crate::settings::{judging, recovering};
use crate::table::{Cell, Table};
use crate::text::Text;
use recovery::operations::history::{last_recovery, past_recoveries};

/// Look at recoveries: how the present one stands, phase by phase, and how the past ones went
#[derive(Debug, Args)]
pub(crate) struct RecoveryArgs {
    #[command(subcommand)]
    word: RecoveryWord,
}

#[derive(Debug, Subcommand)]
enum RecoveryWord {
    /// Show health on one screen, as `status` does
    Status,
    /// Show every phase of the recovery that runs, or ran last, with its progress
    Phases,
    /// Show figures about all recoveries
    Metrics,
    /// Show everything at once, of one moment
    Dashboard,
    /// Show past recoveries, the newest first
    History(PageArgs),
}

pub(crate) fn cmd_recovery(context: &mut Context, args: &RecoveryArgs) -> Result<Ending, CliError> {
    match &args.word {
        RecoveryWord::Status => cmd_status(context, &StatusArgs {}),
        RecoveryWord::Phases => phases(context),
        RecoveryWord::Metrics => metrics(context),
        RecoveryWord::Dashboard => dashboard(context),
        RecoveryWord::History(page) => history(context, page),
    }
}

/// The phases that a recovery has, for what was never run.
fn declared(context: &mut Context, dir: &StateDir) -> Result<Recovery, CliError> {
    Ok(Recovery::new(dir, recovering(&context.operation()?, StartedBy::Recover, false)?)?)
}

fn phases(context: &mut Context) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let declared = declared(context, &dir)?;
    let report = Phases::new(read_current(&dir).as_ref(), declared.graph());
    context.output.report(&report, |text| render_phases(text, &report));
    if report.recovery_id.is_none() {
        context.output.note("there was no recovery yet; these are the phases that it will have");
    }
    Ok(Ending::Done)
}

fn render_phases(text: &mut Text, report: &Phases) {
    let mut table = Table::new(&[
        "PHASE",
        "STATUS",
        ">DONE",
        ">OF",
        "UNIT",
        ">TRIES",
        ">TOOK",
        ">REST",
        "WAITS FOR",
        "MESSAGE",
    ]);
    for phase in &report.phases {
        let number = |n: u64| n.to_string();
        let over = if phase.carried_over { ", before" } else { "" };
        table.row([
            Cell::from(&phase.phase),
            Cell::toned(format!("{}{over}", phase.status.word()), tone_of(phase.status)),
            Cell::from(number(phase.done)),
            Cell::from(phase.total.map_or_else(String::new, number)),
            Cell::from(&phase.unit),
            Cell::from(phase.attempts.to_string()),
            Cell::from(human::duration(phase.duration_ms)),
            Cell::from(phase.remaining_ms.map_or_else(String::new, |ms| format!("~{}", human::about(ms)))),
            Cell::from(phase.depends_on.join(", ")),
            Cell::from(phase.message.as_deref().unwrap_or_default()),
        ]);
    }
    text.table(&table);
    let findings: Vec<_> = report.findings.iter().chain(report.phases.iter().flat_map(of_phase)).collect();
    if !findings.is_empty() {
        text.gap();
        text.findings(findings);
    }
}

fn of_phase(phase: &PhaseProgress) -> &[recovery::findings::Finding] {
    &phase.findings
}

fn tone_of(status: PhaseStatus) -> Tone {
    match status {
        PhaseStatus::Succeeded => Tone::Good,
        PhaseStatus::Failed | PhaseStatus::Blocked => Tone::Bad,
        PhaseStatus::Pending => Tone::Plain,
        _ => Tone::Warning,
    }
}

fn metrics(context: &mut Context) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let last = last_recovery(&mut context.operation()?, &dir);
    let history = past_recoveries(&mut context.operation()?, &dir);
    let report = RecoveryMetrics::new(&history, last.as_ref());
    context.output.report(&report, |text| {
        let totals: Vec<String> = report
            .recoveries_total
            .iter()
            .filter(|(_, n)| **n > 0)
            .map(|(word, n)| format!("{n} {word}"))
            .collect();
        text.fields(&[
            ("recoveries", Some(if totals.is_empty() { "none".to_owned() } else { totals.join(", ") })),
            ("the last one took", report.last_duration_ms.map(human::duration)),
            ("on the average", report.mean_duration_ms.map(human::duration)),
            ("resources degraded", Some(report.degraded_total.to_string())),
            ("phases skipped", Some(report.skipped_total.to_string())),
            ("phases tried again", Some(report.retried_total.to_string())),
        ]);
        let mut table = Table::new(&["PHASE", ">LAST", ">MEAN", ">MOST"]);
        for (phase, took) in &report.phase_duration_ms {
            let cells = [took.last, took.mean, took.max].map(|ms| Cell::from(human::duration(ms)));
            let [last, mean, max] = cells;
            table.row([Cell::from(phase), last, mean, max]);
        }
        text.gap();
        text.table(&table);
    });
    Ok(Ending::Done)
}

fn dashboard(context: &mut Context) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let declared = declared(context, &dir)?;
    let limits = judging(&context.operation()?).limits;
    let gathered = gathered(context, &dir)?;
    let report = Dashboard::new(&gathered, daemon_of(&dir)?, declared.graph(), limits)?;
    context.output.report(&report, |text| {
        render_status(text, &report.status);
        text.gap();
        render_phases(text, &Phases { findings: Vec::new(), ..without_findings(&report.phases) });
        text.gap();
        text.fields(&[
            ("waiting jobs", Some(report.queue.depth.to_string())),
            ("jobs watched", Some(report.jobs.total.to_string())),
            ("locked repositories", Some(report.locks.total.to_string())),
            ("open cleanups", report.cleanup.as_ref().map(|c| c.total.to_string())),
            ("orphans", report.orphans.as_ref().map(|o| o.total.to_string())),
            ("startups aborted in a row", Some(report.startup.consecutive_aborts.to_string())),
        ]);
    });
    Ok(ending(&report.status))
}

/// The status has shown them.
fn without_findings(phases: &Phases) -> Phases {
    let quiet = |phase: &PhaseProgress| PhaseProgress { findings: Vec::new(), ..phase.clone() };
    Phases {
        recovery_id: phases.recovery_id,
        outcome: phases.outcome,
        phases: phases.phases.iter().map(quiet).collect(),
        findings: Vec::new(),
    }
}

fn history(context: &mut Context, page: &PageArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let history = past_recoveries(&mut context.operation()?, &dir);
    let report = RecoveryHistory::new(&history, &page.page())?;
    let now = dir.clock.now();
    context.output.report(&report, |text| text.table(&history_table(&report.recoveries, now)));
    if report.total == 0 {
        context.output.note("there was no recovery yet");
    }
    if let Some(cursor) = &report.next_cursor {
        let shown = format!("{} of {}", report.recoveries.len(), report.total);
        context.output.hint(&format!("{shown}; go on with --cursor {cursor}"));
    }
    Ok(Ending::Done)
}

fn history_table(recoveries: &[HistoryEntry], now: Timestamp) -> Table {
    let mut table = Table::new(&["STARTED", "BY", "OUTCOME", ">TOOK", ">DEGRADED", ">SKIPPED", "ONLY", "ID"]);
    for entry in recoveries {
        let tone = match entry.outcome {
            RecoveryOutcome::Completed => Tone::Good,
            RecoveryOutcome::Failed | RecoveryOutcome::Aborted => Tone::Bad,
            _ => Tone::Warning,
        };
        table.row([
            Cell::from(human::ago(now, entry.started_at)),
            Cell::from(&entry.purpose),
            Cell::toned(entry.outcome.word(), tone),
            Cell::from(human::duration(entry.duration_ms)),
            Cell::from(entry.degraded.to_string()),
            Cell::from(entry.skipped.to_string()),
            Cell::from(entry.only.join(", ")),
            Cell::toned(entry.recovery_id.to_string(), Tone::Faint),
        ]);
    }
    table
}
