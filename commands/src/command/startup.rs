//! `startup …`: how startups went, and the way out of a crash loop.

use clap::{Args, Subcommand};
use recovery::operations::startup::{
    CleanupLogRequest, ClearReport, ClearStartup, StartupDetectionRequest, StartupHistoryRequest,
    StartupLogRequest,
};
use recovery::report::startup::{
    CleanupLog, StartupDetection, StartupHistory, StartupLogReport, StartupOperations,
};
use recovery::startup::{StartupEntry, StartupOutcome};
use recovery::state::{Clock, Timestamp, human};

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::{Show, operate};
use crate::output::Output;
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

/// Look at startups: whether one was cut short, what was cleaned, and how to go on after a crash loop
#[derive(Debug, Args)]
pub(crate) struct StartupArgs {
    #[command(subcommand)]
    word: StartupWord,
}

#[derive(Debug, Subcommand)]
enum StartupWord {
    Detection(StartupDetectionRequest),
    CleanupLog(CleanupLogRequest),
    History(StartupHistoryRequest),
    Log(StartupLogRequest),
    Clear(ClearStartup),
}

pub(crate) fn cmd_startup(context: &mut Context, args: &StartupArgs) -> Result<Ending, CliError> {
    match &args.word {
        StartupWord::Detection(request) => operate(context, request),
        StartupWord::CleanupLog(request) => operate(context, request),
        StartupWord::History(request) => operate(context, request),
        StartupWord::Log(request) => operate(context, request),
        StartupWord::Clear(request) => operate(context, request),
    }
}

impl Show for StartupDetectionRequest {
    fn show(&self, report: &StartupDetection, text: &mut Text) {
        let now = Clock::system().now();
        let (tone, line) = match (report.safe_mode, report.aborted) {
            (true, _) => (Tone::Bad, "SAFE MODE: startups died one after the other, no job is started"),
            (false, true) => (Tone::Warning, "the startup before this one was cut short"),
            (false, false) => (Tone::Good, "no startup was cut short"),
        };
        text.toned(tone, line);
        text.fields(&[
            ("previous", report.previous.as_ref().map(|e| in_words(e, now))),
            ("current", report.current.as_ref().map(|e| in_words(e, now))),
            ("damage", report.damage.clone()),
            ("aborted in a row", Some(report.consecutive_aborts.to_string())),
            ("layout", Some(report.layout.to_string())),
        ]);
    }

    fn remark(&self, report: &StartupDetection, output: &mut Output) {
        if report.safe_mode {
            output.hint("recoveryctl startup clear, or retry the phase that died: recoveryctl status");
        }
    }
}

fn in_words(entry: &StartupEntry, now: Timestamp) -> String {
    let by = entry.by.as_deref().unwrap_or("somebody unknown");
    let when = entry.started_at.map_or_else(|| "at a time not known".to_owned(), |at| human::ago(now, at));
    let phase = entry.phase.as_ref().map_or_else(String::new, |phase| format!(" in phase {phase}"));
    format!("{}{phase}, by {by}, {when}", entry.outcome.as_str())
}

impl Show for CleanupLogRequest {
    fn show(&self, report: &CleanupLog, text: &mut Text) {
        let now = Clock::system().now();
        let mut table = Table::new(&["WHEN", "ACT", "OBJECT", "RESULT", "DETAIL"]);
        for entry in &report.entries {
            let tone = if entry.result == "failed" { Tone::Bad } else { Tone::Plain };
            table.row([
                Cell::from(human::ago(now, entry.at)),
                Cell::from(entry.action.replace('_', " ")),
                Cell::from(&entry.object),
                Cell::toned(&entry.result, tone),
                Cell::toned(&entry.detail, Tone::Faint),
            ]);
        }
        text.table(&table);
    }

    fn remark(&self, report: &CleanupLog, output: &mut Output) {
        if report.total == 0 {
            output.note("nothing had to be cleaned");
        }
        more(output, report.entries.len(), report.total, report.next_cursor.as_deref());
    }
}

fn more(output: &mut Output, shown: usize, total: u64, cursor: Option<&str>) {
    if let Some(cursor) = cursor {
        output.hint(&format!("{shown} of {total}; go on with --cursor {cursor}"));
    }
}

fn tone_of(outcome: StartupOutcome) -> Tone {
    match outcome {
        StartupOutcome::Completed => Tone::Good,
        StartupOutcome::Degraded | StartupOutcome::Running => Tone::Warning,
        StartupOutcome::Aborted | StartupOutcome::Failed => Tone::Bad,
    }
}

impl Show for StartupHistoryRequest {
    fn show(&self, report: &StartupHistory, text: &mut Text) {
        let now = Clock::system().now();
        let mut table = Table::new(&["STARTED", "BY", "OUTCOME", "PHASE", ">TOOK", ">FINDINGS", "ID"]);
        for entry in &report.startups {
            let took = entry
                .duration_ms
                .and_then(|ms| u64::try_from(ms).ok())
                .map_or_else(String::new, human::duration);
            let safe = if entry.safe_mode { "safe mode" } else { "" };
            table.row([
                Cell::from(entry.started_at.map_or_else(|| "not known".to_owned(), |at| human::ago(now, at))),
                Cell::from(entry.by.as_deref().unwrap_or("not known")),
                Cell::toned(entry.outcome.as_str(), tone_of(entry.outcome)),
                Cell::from(entry.phase.as_deref().unwrap_or(safe)),
                Cell::from(took),
                Cell::from(entry.findings_total.to_string()),
                Cell::toned(&entry.startup_id, Tone::Faint),
            ]);
        }
        text.table(&table);
    }

    fn remark(&self, report: &StartupHistory, output: &mut Output) {
        if report.total == 0 {
            output.note("there was no startup yet");
        }
        more(output, report.startups.len(), report.total, report.next_cursor.as_deref());
    }
}

impl Show for StartupLogRequest {
    fn show(&self, report: &StartupLogReport, text: &mut Text) {
        let now = Clock::system().now();
        for startup in report.startup.iter().chain(&report.before) {
            text.gap();
            describe(text, startup, now);
        }
    }

    fn remark(&self, report: &StartupLogReport, output: &mut Output) {
        if report.startup.is_none() {
            output.note("there was no startup yet");
        }
    }
}

fn describe(text: &mut Text, startup: &StartupOperations, now: Timestamp) {
    text.toned(tone_of(startup.startup.outcome), in_words(&startup.startup, now));
    let mut table = Table::new(&["  PHASE", "STATUS", ">TOOK", ">DONE", "MESSAGE"]);
    for operation in &startup.operations {
        table.row([
            Cell::from(format!("  {}", operation.phase)),
            Cell::from(operation.status.map_or("not known", recovery::recovery::PhaseStatus::word)),
            Cell::from(operation.duration_ms.map_or_else(String::new, human::duration)),
            Cell::from(operation.done.map_or_else(String::new, |n| n.to_string())),
            Cell::from(operation.message.as_deref().unwrap_or_default()),
        ]);
    }
    text.table(&table);
}

impl Show for ClearStartup {
    fn show(&self, report: &ClearReport, text: &mut Text) {
        text.line(match (report.was_safe_mode, report.dry_run) {
            (true, false) => "cleared: the daemon recovers and starts jobs again",
            (true, true) => "would clear: the daemon would recover and start jobs again",
            (false, _) => "there is no crash loop to clear",
        });
    }
}
