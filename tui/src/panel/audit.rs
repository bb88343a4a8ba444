//! The audit trail: actor, act, time and reason, newest first.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use recovery::audit::Outcome;
use recovery::report::audit::{AuditEntry, AuditReport};
use recovery::state::{Timestamp, human};

use super::finding::{line_of, tone_of};
use crate::action::Action;
use crate::listing::{Cell, Column, DocumentLine, Listing, Open, Text, Tone};

const COLUMNS: &[Column] = &[
    Column::number("WHEN", 11, 0),
    Column::new("USER", 8, 1),
    Column::new("ACT", 9, 0),
    Column::new("OBJECT", 16, 0).growing(1),
    Column::new("RESULT", 6, 2),
    Column::new("DETAIL", 16, 3).growing(2),
];

/// The trail.
pub struct Audit(pub AuditReport);

impl Audit {
    fn entry(&self, row: usize) -> &AuditEntry {
        &self.0.entries[row]
    }
}

fn who(entry: &AuditEntry) -> Cow<'_, str> {
    match (&entry.user, entry.uid) {
        (Some(user), _) => (&**user).into(),
        (None, Some(uid)) => format!("uid {uid}").into(),
        (None, None) => (&*entry.by).into(),
    }
}

fn result(entry: &AuditEntry) -> (&'static str, Tone) {
    match entry.result {
        Outcome::Done => ("done", Tone::Good),
        Outcome::Failed => ("failed", Tone::Bad),
    }
}

impl Listing for Audit {
    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn len(&self) -> usize {
        self.0.entries.len()
    }

    fn key(&self, row: usize) -> Cow<'_, str> {
        let entry = self.entry(row);
        format!("{}:{}:{}", entry.source, entry.seq, entry.object).into()
    }

    fn cell(&self, row: usize, column: usize, now: Timestamp) -> Cell<'_> {
        let entry = self.entry(row);
        match column {
            0 => Cell::plain(human::ago(now, entry.at)),
            1 => Cell::plain(who(entry)),
            2 => Cell::plain(&*entry.action),
            3 => Cell::plain(entry.object.to_string()),
            4 => {
                let (word, tone) = result(entry);
                Cell::toned(word, tone)
            }
            5 => Cell::toned(entry.reason.as_deref().unwrap_or(&entry.detail), Tone::Quiet),
            _ => Cell::plain(""),
        }
    }

    fn compare(&self, a: usize, b: usize, column: usize) -> Ordering {
        let (a, b) = (self.entry(a), self.entry(b));
        match column {
            0 => b.at.cmp(&a.at),
            1 => who(a).cmp(&who(b)),
            2 => a.action.cmp(&b.action),
            3 => a.object.cmp(&b.object),
            4 => result(b).0.cmp(result(a).0),
            _ => a.detail.cmp(&b.detail),
        }
    }

    fn summary(&self, _now: Timestamp) -> Vec<Cell<'_>> {
        let mut cells = vec![Cell::plain(human::count(self.0.total, "audit entry"))];
        let worst = self.0.findings.iter().max_by_key(|f| f.severity);
        cells.extend(worst.map(|f| Cell::toned(&*f.sentence, tone_of(f.severity))));
        cells
    }

    fn empty(&self) -> &'static str {
        "Nothing was changed yet."
    }

    fn open(&self, row: usize) -> Option<Open> {
        let entry = self.entry(row);
        let (word, tone) = result(entry);
        let mut lines = vec![DocumentLine { tone, ..DocumentLine::field("result", word) }];
        let mut field = |name: &str, value: Option<&str>| {
            lines.extend(value.filter(|v| !v.is_empty()).map(|value| DocumentLine::field(name, value)));
        };
        field("when", Some(&entry.at.to_string()));
        field("by", Some(&entry.by));
        field("command", entry.command.as_deref());
        field("terminal", entry.terminal.as_deref());
        field("act", Some(&entry.action));
        field("object", Some(&entry.object.to_string()));
        field("reason", entry.reason.as_deref());
        field("detail", Some(&entry.detail));
        field("record", Some(&format!("{} of the {}", entry.seq, entry.source)));
        lines.extend(self.0.findings.iter().flat_map(line_of));
        let title = format!("{} {}", entry.action, entry.object);
        Some(Open::Document(Arc::new(Text { title, lines, actions: Vec::new() })))
    }

    fn actions(&self, _rows: &[usize]) -> Vec<Action> {
        Vec::new()
    }
}
