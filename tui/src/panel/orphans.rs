//! The orphans of the last scan, with every safety check.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use recovery::orphans::OrphanVerdict;
use recovery::report::orphans::{CandidateEntry, CandidatesReport};
use recovery::report::why_orphan::WhyOrphan;
use recovery::state::{Timestamp, human};

use super::past_lines;
use crate::action::Action;
use crate::listing::{Cell, Column, Document, DocumentLine, Listing, Object, Open, Text, Tone};

const COLUMNS: &[Column] = &[
    Column::new("SAFE", 7, 0),
    Column::new("KIND", 16, 2),
    Column::new("OBJECT", 16, 0).growing(2),
    Column::number("SIZE", 8, 1),
    Column::number("AGE", 11, 2),
    Column::new("WHAT PROTECTS IT", 16, 3).growing(3),
];

/// The plan of the last scan.
pub struct Orphans(pub CandidatesReport);

impl Orphans {
    fn candidate(&self, row: usize) -> &CandidateEntry {
        &self.0.candidates[row]
    }
}

fn safe(candidate: &CandidateEntry) -> (&'static str, Tone) {
    match candidate.checks.iter().find(|check| check.passed != Some(true)).map(|check| check.passed) {
        None => ("yes", Tone::Good),
        Some(None) => ("unknown", Tone::Warning),
        Some(_) => ("no", Tone::Plain),
    }
}

fn objection(candidate: &CandidateEntry) -> String {
    let check = candidate.checks.iter().find(|check| check.passed != Some(true));
    check.map(|check| format!("{}: {}", check.check, check.evidence)).unwrap_or_default()
}

impl Listing for Orphans {
    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn len(&self) -> usize {
        self.0.candidates.len()
    }

    fn key(&self, row: usize) -> Cow<'_, str> {
        (&*self.candidate(row).id).into()
    }

    fn cell(&self, row: usize, column: usize, _now: Timestamp) -> Cell<'_> {
        let candidate = self.candidate(row);
        match column {
            0 => {
                let (word, tone) = safe(candidate);
                Cell::toned(word, tone)
            }
            1 => Cell::plain(candidate.kind.as_str()),
            2 => Cell::plain(candidate.name.as_deref().unwrap_or(&candidate.object)),
            3 if candidate.bytes > 0 => Cell::plain(human::size(candidate.bytes)),
            4 => Cell::plain(
                candidate.age_ms.map_or_else(String::new, |ms| human::duration(ms.unsigned_abs())),
            ),
            5 => Cell::toned(objection(candidate), Tone::Quiet),
            _ => Cell::plain(""),
        }
    }

    fn compare(&self, a: usize, b: usize, column: usize) -> Ordering {
        let (a, b) = (self.candidate(a), self.candidate(b));
        match column {
            0 => safe(b).0.cmp(safe(a).0),
            1 => a.kind.as_str().cmp(b.kind.as_str()),
            2 => a.object.cmp(&b.object),
            3 => b.bytes.cmp(&a.bytes),
            4 => b.age_ms.cmp(&a.age_ms),
            _ => objection(a).cmp(&objection(b)),
        }
    }

    fn summary(&self, now: Timestamp) -> Vec<Cell<'_>> {
        let Some(at) = self.0.taken_at else {
            return vec![Cell::toned("no scan yet: a scans", Tone::Warning)];
        };
        let mut cells = vec![
            Cell::plain(format!("{} found {}", self.0.total, human::ago(now, at))),
            Cell::toned(format!("{} safe to remove", human::size(self.0.bytes_total)), Tone::Good),
            Cell::plain(format!("{} protected", self.0.protected_total)),
        ];
        if !self.0.trash.is_empty() {
            cells.push(Cell::toned(format!("{} in the trash", self.0.trash.len()), Tone::Quiet));
        }
        cells
    }

    fn empty(&self) -> &'static str {
        match self.0.taken_at {
            Some(_) => "The last scan found nothing that no job owns. a scans again.",
            None => "No scan yet. a scans: it changes nothing.",
        }
    }

    fn open(&self, row: usize) -> Option<Open> {
        let candidate = self.candidate(row);
        let (word, tone) = safe(candidate);
        let mut lines = vec![DocumentLine { tone, ..DocumentLine::field("safe", word) }];
        lines.extend(lines_of(candidate, self.0.plan_id.as_deref()));
        lines.push(DocumentLine::toned("Checks, made again right before it is removed", Tone::Strong));
        lines.extend(checks_of(candidate));
        let title = format!("Orphan {}", candidate.object);
        Some(Open::Document(Arc::new(Text { title, lines, actions: self.actions(&[row]) })))
    }

    fn why(&self, row: usize) -> Option<Object> {
        Some(Object::Why(format!("orphan:{}", self.candidate(row).id)))
    }

    fn actions(&self, rows: &[usize]) -> Vec<Action> {
        let safe: Vec<&CandidateEntry> =
            rows.iter().map(|&row| self.candidate(row)).filter(|c| c.safe).collect();
        let mut actions = Vec::new();
        if let Some(plan) = self.0.plan_id.as_deref().filter(|_| !safe.is_empty()) {
            let ids: Vec<String> = safe.iter().map(|c| c.id.clone()).collect();
            let bytes: u64 = safe.iter().map(|c| c.bytes).sum();
            actions.push(Action::remove_orphans(plan, &ids, &human::size(bytes)));
        }
        actions.push(Action::scan());
        actions
    }
}

fn lines_of(candidate: &CandidateEntry, plan: Option<&str>) -> Vec<DocumentLine> {
    let mut lines = Vec::new();
    let mut field = |name: &str, value: Option<String>| {
        lines.extend(value.map(|value| DocumentLine::field(name, value)));
    };
    field("object", Some(candidate.object.clone()));
    field("name", candidate.name.clone());
    field("job", candidate.job_id.clone());
    field("path", candidate.path.as_ref().map(|path| path.display().to_string()));
    field("size", (candidate.bytes > 0).then(|| human::size(candidate.bytes)));
    field("age", candidate.age_ms.map(|ms| human::duration(ms.unsigned_abs())));
    field("plan", plan.map(str::to_owned));
    lines
}

fn checks_of(candidate: &CandidateEntry) -> impl Iterator<Item = DocumentLine> {
    candidate.checks.iter().map(|check| {
        let (word, tone) = match check.passed {
            Some(true) => ("passed", Tone::Good),
            Some(false) => ("not passed", Tone::Warning),
            None => ("not known", Tone::Warning),
        };
        let text = format!("  {:<10} {}: {}", word, check.check, check.evidence);
        DocumentLine { text, tone, indent: 13 }
    })
}

impl Document for WhyOrphan {
    fn title(&self) -> String {
        format!("Orphan {}: {}", self.object, self.verdict)
    }

    fn lines(&self, now: Timestamp) -> Vec<DocumentLine> {
        let mut lines = vec![DocumentLine::field("verdict", &self.verdict)];
        lines.extend(self.reason.as_ref().map(|reason| DocumentLine::field("against it", reason)));
        lines.extend(self.candidate.iter().flat_map(|c| lines_of(c, self.plan_id.as_deref())));
        lines.extend(self.taken_at.map(|at| DocumentLine::field("scanned", human::ago(now, at))));
        lines.push(DocumentLine::toned("Checks, made just now", Tone::Strong));
        lines.extend(self.candidate.iter().flat_map(checks_of));
        lines.extend(past_lines(&self.past, now));
        lines
    }

    fn actions(&self) -> Vec<Action> {
        let Some(CandidateEntry { id, bytes, .. }) = &self.candidate else { return Vec::new() };
        let plan = self.plan_id.as_deref().filter(|_| self.verdict == OrphanVerdict::Orphan.as_str());
        let remove = |plan| Action::remove_orphans(plan, std::slice::from_ref(id), &human::size(*bytes));
        plan.map(remove).into_iter().collect()
    }
}
