//! Cleanups: open ones first, phase by phase, then completed ones.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use recovery::cleanup::{CleanupPhaseName, CleanupStatus};
use recovery::findings;
use recovery::report::cleanup::{CleanupEntry, CleanupState, CompletedEntry, CompletedList, PhaseEntry};
use recovery::state::{Timestamp, human};

use super::finding::line_of;
use crate::action::Action;
use crate::listing::{Cell, Column, DocumentLine, Listing, Object, Open, Text, Tone};

const COLUMNS: &[Column] = &[
    Column::new("CLEANUP", 14, 0).growing(2),
    Column::new("STATUS", 9, 0),
    Column::new("PHASE", 10, 1),
    Column::number("DONE", 7, 2),
    Column::number("TRIES", 5, 3),
    Column::number("FREED", 8, 4),
    Column::number("SINCE", 11, 3),
    Column::new("NOTE", 16, 1).growing(3),
];

/// Open and completed cleanups.
pub struct Cleanups {
    /// The cleanups that are not over.
    pub open: CleanupState,
    /// The completed cleanups, newest first.
    pub over: CompletedList,
}

impl Cleanups {
    fn entry(&self, row: usize) -> &CleanupEntry {
        match self.open.cleanups.get(row) {
            Some(entry) => entry,
            None => &self.completed(row).cleanup,
        }
    }

    fn completed(&self, row: usize) -> &CompletedEntry {
        &self.over.cleanups[row - self.open.cleanups.len()]
    }

    fn is_open(&self, row: usize) -> bool {
        row < self.open.cleanups.len()
    }
}

fn tone_of(status: CleanupStatus) -> Tone {
    match status {
        CleanupStatus::Pending => Tone::Plain,
        CleanupStatus::Running => Tone::Busy,
        CleanupStatus::Waiting => Tone::Warning,
        CleanupStatus::Parked => Tone::Bad,
        CleanupStatus::Completed => Tone::Good,
    }
}

fn current(entry: &CleanupEntry) -> Option<&PhaseEntry> {
    entry.phases.iter().find(|phase| Some(phase.phase) == entry.phase)
}

fn note(entry: &CleanupEntry, now: Timestamp) -> String {
    if let Some(phase) = current(entry)
        && let Some(error) = &phase.error
    {
        let again =
            phase.next_try_at.map_or_else(String::new, |at| format!(" (again {})", human::ago(now, at)));
        return format!("{error}{again}");
    }
    match (&entry.resumed_from, entry.overtaken) {
        (Some(from), _) => format!("interrupted; goes on at {}", from.step),
        (None, true) => "ended early: a later attempt began".to_owned(),
        (None, false) => entry.reason.clone().unwrap_or_default(),
    }
}

fn freed(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { human::size(bytes) }
}

impl Listing for Cleanups {
    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn len(&self) -> usize {
        self.open.cleanups.len() + self.over.cleanups.len()
    }

    fn key(&self, row: usize) -> Cow<'_, str> {
        // The same job may be cleaned up again later.
        let id = &self.entry(row).cleanup_id;
        if self.is_open(row) {
            (&**id).into()
        } else {
            format!("{id} {}", self.completed(row).completed_at).into()
        }
    }

    fn cell(&self, row: usize, column: usize, now: Timestamp) -> Cell<'_> {
        let entry = self.entry(row);
        let phase = current(entry);
        match column {
            0 => Cell::plain(&*entry.cleanup_id),
            1 => Cell::toned(entry.status.as_str(), tone_of(entry.status)),
            2 => Cell::plain(phase.map_or("", |p| p.phase.as_str())),
            3 => Cell::plain(
                phase
                    .filter(|p| p.items_total > 0)
                    .map_or_else(String::new, |p| format!("{}/{}", p.items_done, p.items_total)),
            ),
            4 => Cell::plain(
                phase.filter(|p| p.attempts > 0).map_or_else(String::new, |p| p.attempts.to_string()),
            ),
            5 => Cell::plain(freed(entry.bytes_freed)),
            6 => Cell::plain(human::ago(
                now,
                if self.is_open(row) { entry.created_at } else { self.completed(row).completed_at },
            )),
            7 => Cell::toned(note(entry, now), Tone::Quiet),
            _ => Cell::plain(""),
        }
    }

    fn compare(&self, a: usize, b: usize, column: usize) -> Ordering {
        let (a, b) = (self.entry(a), self.entry(b));
        match column {
            0 => a.cleanup_id.cmp(&b.cleanup_id),
            1 => a.status.as_str().cmp(b.status.as_str()),
            2 => a.phase.map(CleanupPhaseName::as_str).cmp(&b.phase.map(CleanupPhaseName::as_str)),
            5 => b.bytes_freed.cmp(&a.bytes_freed),
            6 => b.created_at.cmp(&a.created_at),
            _ => {
                let tries = |e: &CleanupEntry| current(e).map_or(0, |p| p.attempts);
                tries(b).cmp(&tries(a))
            }
        }
    }

    fn summary(&self, _now: Timestamp) -> Vec<Cell<'_>> {
        let c = self.open.counts;
        let counted = |n: u64, status: CleanupStatus| {
            let tone = if n > 0 { tone_of(status) } else { Tone::Quiet };
            Cell::toned(format!("{n} {}", status.as_str()), tone)
        };
        vec![
            counted(c.parked, CleanupStatus::Parked),
            counted(c.waiting, CleanupStatus::Waiting),
            counted(c.running, CleanupStatus::Running),
            counted(c.pending, CleanupStatus::Pending),
            counted(c.completed, CleanupStatus::Completed),
        ]
    }

    fn empty(&self) -> &'static str {
        "Nothing was cleaned up yet. To clean up a job that has ended: Jobs, a, Clean up."
    }

    fn open(&self, row: usize) -> Option<Open> {
        let entry = self.entry(row);
        let mut lines = vec![DocumentLine {
            tone: tone_of(entry.status),
            ..DocumentLine::field("status", entry.status.as_str())
        }];
        lines.push(DocumentLine::field("job", format!("{}, attempt {}", entry.job_id, entry.attempt)));
        lines.push(DocumentLine::field("asked for", format!("{} by {}", entry.created_at, entry.by)));
        if let Some(reason) = &entry.reason {
            lines.push(DocumentLine::field("reason", reason));
        }
        if let Some(from) = &entry.resumed_from {
            let text = format!("a crash interrupted it in {}, at {}", from.phase.as_str(), from.step);
            lines.push(DocumentLine { tone: Tone::Warning, ..DocumentLine::field("resumed", text) });
        }
        lines.push(DocumentLine::field("given back", human::size(entry.bytes_freed)));
        if !self.is_open(row) {
            let over = self.completed(row);
            lines.push(DocumentLine::field("over", over.completed_at.to_string()));
            let text = format!(
                "{} containers, {} networks, {} volumes",
                over.containers_removed, over.networks_removed, over.volumes_removed
            );
            lines.push(DocumentLine::field("removed", text));
        }
        lines.push(DocumentLine::toned("Phases", Tone::Strong));
        lines.extend(entry.phases.iter().flat_map(lines_of));
        let object = findings::Object::Cleanup(entry.cleanup_id.clone());
        let findings = self.open.findings.iter().filter(|f| f.object == object);
        lines.extend(findings.flat_map(line_of));
        let title = format!("Cleanup {}", entry.cleanup_id);
        Some(Open::Document(Arc::new(Text { title, lines, actions: self.actions(&[row]) })))
    }

    fn output(&self, row: usize) -> Option<Object> {
        Some(Object::Output(self.entry(row).job_id.to_string()))
    }

    fn actions(&self, rows: &[usize]) -> Vec<Action> {
        let mut actions = Vec::new();
        if let [row] = rows {
            let entry = self.entry(*row);
            if matches!(entry.status, CleanupStatus::Parked | CleanupStatus::Waiting) {
                actions.push(Action::retry_cleanup(&entry.cleanup_id));
            }
            if let Some(phase) = entry.phase.filter(|_| self.is_open(*row)) {
                actions.push(Action::skip_cleanup(&entry.cleanup_id, phase.as_str()));
            }
        }
        if !self.open.cleanups.is_empty() {
            actions.push(Action::run_cleanups());
        }
        actions
    }
}

fn lines_of(phase: &PhaseEntry) -> Vec<DocumentLine> {
    let status = phase.status.as_str();
    let mut text =
        format!("  {:<11}{status}, {}/{}", phase.phase.as_str(), phase.items_done, phase.items_total);
    if phase.attempts > 1 {
        text.push_str(&format!(", {} tries", phase.attempts));
    }
    if let Some(step) = &phase.step {
        text.push_str(&format!(", next: {step}"));
    }
    if let Some(error) = &phase.error {
        text.push_str(&format!(": {error}"));
    }
    let mut lines = vec![DocumentLine { text, tone: Tone::Plain, indent: 13 }];
    lines.extend(phase.notes.iter().map(|note| DocumentLine {
        text: format!("    - {note}"),
        tone: Tone::Quiet,
        indent: 6,
    }));
    lines
}
