//! Startups: how each ended, which died and in which phase, and the cleaning after them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use recovery::report::startup::{
    CleanupLog, Operation, StartupDetection, StartupHistory, StartupLogReport, StartupOperations,
};
use recovery::startup::{StartupEntry, StartupOutcome};
use recovery::state::{Timestamp, human};

use crate::action::Action;
use crate::listing::{Cell, Column, DocumentLine, Listing, Open, Text, Tone};

const COLUMNS: &[Column] = &[
    Column::number("STARTED", 11, 0),
    Column::new("BY", 10, 2),
    Column::new("OUTCOME", 10, 0),
    Column::new("PHASE", 12, 1).growing(1),
    Column::number("DONE", 4, 3),
    Column::number("TOOK", 11, 1),
    Column::number("FINDINGS", 8, 3),
    Column::new("ID", 12, 4).growing(2),
];

/// The past startups, newest first.
pub struct Startups {
    /// The list.
    pub history: StartupHistory,
    /// Whether the previous startup was cut short, and safe mode.
    pub detection: StartupDetection,
    /// The events of the last startups, phase by phase.
    pub operations: StartupLogReport,
    /// The acts of cleaning.
    pub cleaned: CleanupLog,
}

impl Startups {
    fn startup(&self, row: usize) -> &StartupEntry {
        &self.history.startups[row]
    }

    fn operations_of(&self, id: &str) -> &[Operation] {
        let all = self.operations.startup.iter().chain(&self.operations.before);
        let found = all.into_iter().find(|s: &&StartupOperations| s.startup.startup_id == id);
        found.map_or(&[], |s| &s.operations)
    }
}

fn tone_of(outcome: StartupOutcome) -> Tone {
    match outcome {
        StartupOutcome::Completed => Tone::Good,
        StartupOutcome::Degraded => Tone::Warning,
        StartupOutcome::Aborted | StartupOutcome::Failed => Tone::Bad,
        StartupOutcome::Running => Tone::Busy,
    }
}

impl Listing for Startups {
    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn len(&self) -> usize {
        self.history.startups.len()
    }

    fn key(&self, row: usize) -> Cow<'_, str> {
        (&*self.startup(row).startup_id).into()
    }

    fn cell(&self, row: usize, column: usize, now: Timestamp) -> Cell<'_> {
        let startup = self.startup(row);
        match column {
            0 => Cell::plain(startup.started_at.map_or_else(|| "?".to_owned(), |at| human::ago(now, at))),
            1 => Cell::plain(startup.by.as_deref().unwrap_or("not known")),
            2 => Cell::toned(startup.outcome.as_str(), tone_of(startup.outcome)),
            3 => Cell::plain(startup.phase.as_deref().unwrap_or_default()),
            4 => Cell::plain(startup.phases_done.len().to_string()),
            5 => Cell::plain(startup.duration_ms.map_or_else(String::new, took)),
            6 => Cell::plain(startup.findings_total.to_string()),
            7 => Cell::toned(&*startup.startup_id, Tone::Quiet),
            _ => Cell::plain(""),
        }
    }

    fn compare(&self, a: usize, b: usize, column: usize) -> Ordering {
        let (a, b) = (self.startup(a), self.startup(b));
        match column {
            0 => b.started_at.cmp(&a.started_at),
            1 => a.by.cmp(&b.by),
            2 => a.outcome.as_str().cmp(b.outcome.as_str()),
            3 => a.phase.cmp(&b.phase),
            4 => a.phases_done.len().cmp(&b.phases_done.len()),
            5 => b.duration_ms.cmp(&a.duration_ms),
            6 => b.findings_total.cmp(&a.findings_total),
            _ => a.startup_id.cmp(&b.startup_id),
        }
    }

    fn summary(&self, _now: Timestamp) -> Vec<Cell<'_>> {
        let detection = &self.detection;
        let mut cells = vec![match (detection.safe_mode, detection.aborted) {
            (true, _) => Cell::toned("SAFE MODE: no job is started", Tone::Bad),
            (false, true) => Cell::toned("the startup before was cut short", Tone::Warning),
            (false, false) => Cell::toned("no startup was cut short", Tone::Good),
        }];
        if detection.consecutive_aborts > 0 {
            let text = format!("{} died in a row", detection.consecutive_aborts);
            cells.push(Cell::toned(text, Tone::Warning));
        }
        cells.push(Cell::toned(format!("layout {}", detection.layout), Tone::Quiet));
        cells
    }

    fn empty(&self) -> &'static str {
        "There was no startup yet."
    }

    fn open(&self, row: usize) -> Option<Open> {
        let startup = self.startup(row);
        let mut lines = vec![DocumentLine::toned(startup.outcome.as_str(), tone_of(startup.outcome))];
        let at = |at: Option<Timestamp>| at.map_or_else(|| "not known".to_owned(), |at| at.to_string());
        lines.push(DocumentLine::field("by", startup.by.as_deref().unwrap_or("not known")));
        lines.push(DocumentLine::field("began", at(startup.started_at)));
        lines.push(DocumentLine::field("ended", at(startup.ended_at)));
        if let Some(phase) = &startup.phase {
            lines.push(DocumentLine::field("in phase", phase));
        }
        lines.push(DocumentLine::toned("Phases", Tone::Strong));
        lines.extend(self.operations_of(&startup.startup_id).iter().map(line_of));
        let acts = self.cleaned.entries.iter().filter(|act| act.startup_id == startup.startup_id);
        let mut acts = acts.peekable();
        if acts.peek().is_some() {
            lines.push(DocumentLine::toned("Cleaned", Tone::Strong));
        }
        lines.extend(acts.map(|act| {
            let what = act.action.replace('_', " ");
            DocumentLine::piece(format!("{what} {}: {} ({})", act.object, act.result, act.detail))
        }));
        let title = format!("Startup {}", startup.startup_id);
        Some(Open::Document(Arc::new(Text { title, lines, actions: self.actions(&[row]) })))
    }

    fn actions(&self, rows: &[usize]) -> Vec<Action> {
        let phase = match rows {
            [row] => self.startup(*row).phase.as_deref(),
            _ => None,
        };
        let clear = self.detection.safe_mode.then(Action::clear_startup);
        phase.map(Action::retry_phase).into_iter().chain(clear).collect()
    }
}

fn took(ms: i64) -> String {
    human::duration(u64::try_from(ms).unwrap_or(0))
}

fn line_of(operation: &Operation) -> DocumentLine {
    let status = operation.status.map_or("not recorded", |status| status.word());
    let took = operation.duration_ms.map_or_else(String::new, |ms| format!(" in {}", human::duration(ms)));
    let message = operation.message.as_ref().map_or_else(String::new, |text| format!(": {text}"));
    DocumentLine {
        text: format!("  {:<10} {status}{took}{message}", operation.phase),
        tone: Tone::Plain,
        indent: 13,
    }
}
