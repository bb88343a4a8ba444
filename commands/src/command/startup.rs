//! `startup …`: how startups went, and the way out of a crash loop.

use clap::{Args, Subcommand};
use recovery::audit::{Entry, Trail};
use recovery::report::startup::{
    CleanupLog, Recoveries, StartupDetection, StartupHistory, StartupLogReport, StartupOperations,
};
use recovery::startup::{StartupEntry, StartupLog, StartupOutcome, clear, safe_mode};
use recovery::state::{Timestamp, human};
use schemars::JsonSchema;
use serde::Serialize;

use crate::command::page::PageArgs;
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;
use recovery::operations::history::{last_recovery, past_recoveries};

/// Look at startups: whether one was cut short, what was cleaned, and how to go on after a crash loop
#[derive(Debug, Args)]
pub(crate) struct StartupArgs {
    #[command(subcommand)]
    word: StartupWord,
}

#[derive(Debug, Subcommand)]
enum StartupWord {
    /// Show whether the startup before this one was cut short, and in which phase
    Detection,
    /// Show what was cleaned after crashes, the newest first
    CleanupLog(PageArgs),
    /// Show past startups, the newest first
    History(PageArgs),
    /// Show what this startup did, phase by phase, and the ten before it
    Log,
    /// Say that a crash loop is over: the daemon recovers and starts jobs again
    Clear,
}

impl StartupArgs {
    /// Whether it may change something.
    pub(crate) fn changes(&self) -> bool {
        matches!(self.word, StartupWord::Clear)
    }
}

pub(crate) fn cmd_startup(context: &mut Context, args: &StartupArgs) -> Result<Ending, CliError> {
    match &args.word {
        StartupWord::Detection => detection(context),
        StartupWord::CleanupLog(page) => cleanup_log(context, page),
        StartupWord::History(page) => history(context, page),
        StartupWord::Log => log(context),
        StartupWord::Clear => clear_all(context),
    }
}

fn detection(context: &mut Context) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let report = StartupDetection::read(&dir)?;
    let now = dir.clock.now();
    context.output.report(&report, |text| {
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
    });
    if report.safe_mode {
        context.output.hint("recoveryctl startup clear, or retry the phase that died: recoveryctl status");
    }
    Ok(Ending::Done)
}

fn in_words(entry: &StartupEntry, now: Timestamp) -> String {
    let by = entry.by.as_deref().unwrap_or("somebody unknown");
    let when = entry.started_at.map_or_else(|| "at a time not known".to_owned(), |at| human::ago(now, at));
    let phase = entry.phase.as_ref().map_or_else(String::new, |phase| format!(" in phase {phase}"));
    format!("{}{phase}, by {by}, {when}", entry.outcome.as_str())
}

fn cleanup_log(context: &mut Context, page: &PageArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let report = CleanupLog::new(&StartupLog::read(&dir)?, &page.page())?;
    let now = dir.clock.now();
    context.output.report(&report, |text| {
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
    });
    if report.total == 0 {
        context.output.note("nothing had to be cleaned");
    }
    more(context, report.entries.len(), report.total, report.next_cursor.as_deref());
    Ok(Ending::Done)
}

fn more(context: &mut Context, shown: usize, total: u64, cursor: Option<&str>) {
    if let Some(cursor) = cursor {
        context.output.hint(&format!("{shown} of {total}; go on with --cursor {cursor}"));
    }
}

fn tone_of(outcome: StartupOutcome) -> Tone {
    match outcome {
        StartupOutcome::Completed => Tone::Good,
        StartupOutcome::Degraded | StartupOutcome::Running => Tone::Warning,
        StartupOutcome::Aborted | StartupOutcome::Failed => Tone::Bad,
    }
}

fn history(context: &mut Context, page: &PageArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let report = StartupHistory::read(&dir, &page.page())?;
    let now = dir.clock.now();
    context.output.report(&report, |text| {
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
    });
    if !StartupLog::read(&dir)?.is_whole() {
        context
            .output
            .warning("the log of startups is damaged: what cannot be read of it is not in the list");
        context.output.hint("recoveryctl recover");
    } else if report.total == 0 {
        context.output.note("there was no startup yet");
    }
    more(context, report.startups.len(), report.total, report.next_cursor.as_deref());
    Ok(Ending::Done)
}

fn log(context: &mut Context) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let last = last_recovery(&mut context.operation()?, &dir);
    let history = past_recoveries(&mut context.operation()?, &dir);
    let current = recovery::recovery::read_current(&dir);
    let recoveries = Recoveries { current: current.as_ref(), last: last.as_ref(), history: &history };
    let report = StartupLogReport::read(&dir, recoveries)?;
    let now = dir.clock.now();
    context.output.report(&report, |text| {
        for startup in report.startup.iter().chain(&report.before) {
            text.gap();
            describe(text, startup, now);
        }
    });
    if report.startup.is_none() {
        context.output.note("there was no startup yet");
    }
    Ok(Ending::Done)
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

/// What a clearing did.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StartupCleared")]
pub(crate) struct ClearReport {
    /// Whether there was a crash loop.
    was_safe_mode: bool,
    /// The startups that had died.
    because: Vec<String>,
    cleared: bool,
    dry_run: bool,
}

fn clear_all(context: &mut Context) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let safe = safe_mode(&dir)?;
    let because = safe.iter().flat_map(|s| &s.because).map(|e| e.startup_id.clone()).collect();
    let dry_run = context.is_dry_run();
    if !dry_run {
        let trail = Trail::open(&dir)?;
        let actor = context.actor();
        clear(&dir, &actor.by, actor.why.as_deref())?;
        let detail = if safe.is_some() { "safe mode ends" } else { "there was no safe mode" };
        trail.record(&Entry::done(
            dir.clock.now(),
            &actor,
            "startup clear",
            "startup".to_owned(),
            detail.to_owned(),
        ))?;
    }
    let report = ClearReport { was_safe_mode: safe.is_some(), because, cleared: !dry_run, dry_run };
    context.output.report(&report, |text| {
        text.line(match (report.was_safe_mode, dry_run) {
            (true, false) => "cleared: the daemon recovers and starts jobs again",
            (true, true) => "would clear: the daemon would recover and start jobs again",
            (false, _) => "there is no crash loop to clear",
        });
    });
    Ok(Ending::Done)
}
