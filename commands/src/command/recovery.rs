//! `recovery …`: how the present recovery stands, and how the past ones went.

use clap::{Args, Subcommand};
use recovery::operations::recovery::{
    DashboardRequest, PhasesRequest, RecoveryHistoryRequest, RecoveryMetricsRequest,
};
use recovery::operations::status::StatusRequest;
use recovery::recovery::{HistoryEntry, PhaseProgress, PhaseStatus, RecoveryOutcome};
use recovery::report::dashboard::Dashboard;
use recovery::report::recovery::{Phases, RecoveryHistory, RecoveryMetrics};
use recovery::state::{Clock, Timestamp, human};

use crate::command::status::render as render_status;
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::{Show, operate};
use crate::output::Output;
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

/// Look at recoveries: how the present one stands, phase by phase, and how the past ones went
#[derive(Debug, Args)]
pub(crate) struct RecoveryArgs {
    #[command(subcommand)]
    word: RecoveryWord,
}

#[derive(Debug, Subcommand)]
enum RecoveryWord {
    /// Show health on one screen, as `status` does
    Status(StatusRequest),
    Phases(PhasesRequest),
    Metrics(RecoveryMetricsRequest),
    Dashboard(DashboardRequest),
    History(RecoveryHistoryRequest),
}

pub(crate) fn cmd_recovery(context: &mut Context, args: &RecoveryArgs) -> Result<Ending, CliError> {
    match &args.word {
        RecoveryWord::Status(request) => operate(context, request),
        RecoveryWord::Phases(request) => operate(context, request),
        RecoveryWord::Metrics(request) => operate(context, request),
        RecoveryWord::Dashboard(request) => operate(context, request),
        RecoveryWord::History(request) => operate(context, request),
    }
}

impl Show for PhasesRequest {
    fn show(&self, report: &Phases, text: &mut Text) {
        render_phases(text, report);
    }

    fn remark(&self, report: &Phases, output: &mut Output) {
        if report.recovery_id.is_none() {
            output.note("there was no recovery yet; these are the phases that it will have");
        }
    }
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

impl Show for RecoveryMetricsRequest {
    fn show(&self, report: &RecoveryMetrics, text: &mut Text) {
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
    }
}

impl Show for DashboardRequest {
    fn show(&self, report: &Dashboard, text: &mut Text) {
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
    }
}

/// Leaves the findings out: the status has shown them.
fn without_findings(phases: &Phases) -> Phases {
    let quiet = |phase: &PhaseProgress| PhaseProgress { findings: Vec::new(), ..phase.clone() };
    Phases {
        recovery_id: phases.recovery_id,
        outcome: phases.outcome,
        phases: phases.phases.iter().map(quiet).collect(),
        findings: Vec::new(),
    }
}

impl Show for RecoveryHistoryRequest {
    fn show(&self, report: &RecoveryHistory, text: &mut Text) {
        text.table(&history_table(&report.recoveries, Clock::system().now()));
    }

    fn remark(&self, report: &RecoveryHistory, output: &mut Output) {
        if report.total == 0 {
            output.note("there was no recovery yet");
        }
        if let Some(cursor) = &report.next_cursor {
            let shown = format!("{} of {}", report.recoveries.len(), report.total);
            output.hint(&format!("{shown}; go on with --cursor {cursor}"));
        }
    }
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
