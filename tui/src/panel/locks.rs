//! Repository locks: holders, waiters, and the evidence of each verdict.

use std::borrow::Cow;
use std::cmp::Ordering;

use recovery::report::locks::{ActiveLock, InLine, InspectedLocks};
use recovery::report::why_lock::WhyLock;
use recovery::state::{Timestamp, human};

use super::past_lines;
use crate::action::Action;
use crate::listing::{Cell, Column, Document, DocumentLine, Listing, Object, Open, Tone};

const COLUMNS: &[Column] = &[
    Column::new("REPOSITORY", 14, 0).growing(1),
    Column::new("LOCK", 8, 0),
    Column::new("HOLDER", 20, 1).growing(2),
    Column::number("SINCE", 11, 2),
    Column::number("WAITING", 7, 3),
    Column::new("FOR", 16, 4).growing(1),
];

/// All locks that ever were granted, those that are not free first.
pub struct Locks {
    locks: InspectedLocks,
    order: Vec<usize>,
}

impl Locks {
    /// Makes the list from a report.
    pub fn new(locks: InspectedLocks) -> Locks {
        let mut order: Vec<usize> = (0..locks.locks.len()).collect();
        order.sort_by_key(|&row| urgency(&locks.locks[row].lock));
        Locks { locks, order }
    }

    fn lock(&self, row: usize) -> &ActiveLock {
        &self.locks.locks[self.order[row]].lock
    }

    fn count(&self, verdict: &str) -> usize {
        self.locks.locks.iter().filter(|l| l.lock.verdict == verdict).count()
    }
}

/// Locks that need attention come first.
fn urgency(lock: &ActiveLock) -> u8 {
    match &*lock.verdict {
        "unknown" => 0,
        "stale" => 1,
        "live" => 2,
        _ => 3,
    }
}

fn tone_of(verdict: &str) -> Tone {
    match verdict {
        "live" => Tone::Good,
        "stale" => Tone::Warning,
        "unknown" => Tone::Bad,
        _ => Tone::Quiet,
    }
}

fn actions(lock: &ActiveLock) -> Vec<Action> {
    let id = lock.lock_id.as_deref();
    match &*lock.verdict {
        "stale" => vec![Action::release(&lock.repository, id, false)],
        "live" | "unknown" => vec![Action::release(&lock.repository, id, true)],
        _ => Vec::new(),
    }
}

impl Listing for Locks {
    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn len(&self) -> usize {
        self.order.len()
    }

    fn key(&self, row: usize) -> Cow<'_, str> {
        (&*self.lock(row).repository).into()
    }

    fn cell(&self, row: usize, column: usize, now: Timestamp) -> Cell<'_> {
        let lock = self.lock(row);
        match column {
            0 => Cell::plain(&*lock.repository),
            1 => Cell::toned(&*lock.verdict, tone_of(&lock.verdict)),
            2 if lock.verdict != "free" => Cell::plain(lock.holder.as_deref().unwrap_or("not known")),
            3 => Cell::plain(lock.acquired_at.map_or_else(String::new, |at| human::ago(now, at))),
            4 if !lock.waiting.is_empty() => Cell::plain(lock.waiting.len().to_string()),
            5 => Cell::toned(lock.operation.as_deref().unwrap_or_default(), Tone::Quiet),
            _ => Cell::plain(""),
        }
    }

    fn compare(&self, a: usize, b: usize, column: usize) -> Ordering {
        let (a, b) = (self.lock(a), self.lock(b));
        match column {
            0 => a.repository.cmp(&b.repository),
            1 => urgency(a).cmp(&urgency(b)),
            2 => a.holder.cmp(&b.holder),
            3 => a.acquired_at.cmp(&b.acquired_at),
            4 => b.waiting.len().cmp(&a.waiting.len()),
            _ => a.operation.cmp(&b.operation),
        }
    }

    fn summary(&self, _now: Timestamp) -> Vec<Cell<'_>> {
        let mut cells = vec![Cell::plain(format!("{} held", self.count("live")))];
        for (verdict, said) in [("stale", "whose holder is gone"), ("unknown", "that cannot be judged")] {
            let count = self.count(verdict);
            if count > 0 {
                cells.push(Cell::toned(format!("{count} {said}"), tone_of(verdict)));
            }
        }
        cells.push(Cell::toned(format!("{} free", self.count("free")), Tone::Quiet));
        cells
    }

    fn empty(&self) -> &'static str {
        "No repository was ever locked."
    }

    fn open(&self, row: usize) -> Option<Open> {
        self.why(row).map(Open::Object)
    }

    fn why(&self, row: usize) -> Option<Object> {
        Some(Object::Why(format!("lock:{}", self.lock(row).repository)))
    }

    fn output(&self, row: usize) -> Option<Object> {
        Some(Object::Output(self.lock(row).job_id.as_ref()?.to_string()))
    }

    fn actions(&self, rows: &[usize]) -> Vec<Action> {
        match rows {
            [row] => actions(self.lock(*row)),
            // Locks are opened one at a time: each has its own evidence.
            _ => Vec::new(),
        }
    }
}

impl Document for WhyLock {
    fn title(&self) -> String {
        format!("Lock of {}: {}", self.lock.lock.repository, self.verdict)
    }

    fn lines(&self, now: Timestamp) -> Vec<DocumentLine> {
        let lock = &self.lock.lock;
        let mut lines = Vec::new();
        let mut field = |name: &str, value: Option<String>| {
            lines.extend(value.map(|value| DocumentLine::field(name, value)));
        };
        field("verdict", Some(self.verdict.to_string()));
        field("against it", self.reason.clone());
        field("holder", lock.holder.clone());
        field("since", lock.acquired_at.map(|at| format!("{} ({at})", human::ago(now, at))));
        field("lock id", lock.lock_id.clone());
        field("number", lock.token.map(|n| format!("{n} (fencing)")));
        field("operation", lock.operation.clone());
        field("running job", self.running_job.clone());
        let copy = self.copy.as_ref().and_then(|c| c.holder.clone());
        field("last grant", copy);
        field("given back", self.lock.released_at.map(|at| human::ago(now, at)));
        field("file", Some(self.lock.file.clone()));
        lines.push(DocumentLine::toned("Evidence", Tone::Strong));
        lines.extend((1..).zip(&self.evidence).map(|(number, piece)| DocumentLine {
            text: format!("  {number}. {piece}"),
            tone: Tone::Plain,
            indent: 5,
        }));
        lines.extend(past_lines(&self.past, now));
        if let Some(repair) = &self.repair {
            let act = repair.action.as_deref().unwrap_or("nothing, only you can decide");
            let text = format!("A repair would do: {act}: {}", repair.reason);
            lines.push(DocumentLine { text, tone: Tone::Warning, indent: 2 });
            lines.extend(repair.evidence.iter().map(DocumentLine::piece));
        }
        let heading = match lock.waiting_line.len() {
            0 => "Nothing waits".to_owned(),
            many => format!("Waiting ({many})"),
        };
        lines.push(DocumentLine::toned(heading, Tone::Strong));
        lines.extend(lock.waiting_line.iter().map(|place| line_of(place, now)));
        lines
    }

    fn actions(&self) -> Vec<Action> {
        actions(&self.lock.lock)
    }
}

fn line_of(place: &InLine, now: Timestamp) -> DocumentLine {
    let who = match (&place.job_id, place.pid) {
        (Some(id), _) => format!("job {id}"),
        (None, Some(pid)) => format!("process {pid}"),
        (None, None) => "a process".to_owned(),
    };
    let since = place.since.map_or_else(String::new, |at| format!(", since {}", human::ago(now, at)));
    let what = place.operation.as_ref().map_or_else(String::new, |what| format!(": {what}"));
    DocumentLine { text: format!("  {}. {who}{since}{what}", place.position), tone: Tone::Plain, indent: 5 }
}
