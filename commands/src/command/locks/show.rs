//! `locks active`, `recovered` and `inspect`.

use recovery::operations::locks::{ActiveLocksRequest, InspectLocks, RecoveredLocksRequest};
use recovery::report::locks::{ActiveLock, ActiveLocks, InspectedLock, InspectedLocks, RecoveredLocks};
use recovery::state::{Clock, Timestamp, human};

use crate::operate::Show;
use crate::output::Output;
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

impl Show for ActiveLocksRequest {
    fn show(&self, report: &ActiveLocks, text: &mut Text) {
        text.table(&table(&report.locks, Clock::system().now()));
    }

    fn remark(&self, report: &ActiveLocks, output: &mut Output) {
        if report.total == 0 {
            output.note("no repository is locked");
        }
    }
}

fn table(locks: &[ActiveLock], now: Timestamp) -> Table {
    let mut table = Table::new(&["REPOSITORY", "LOCK", "HOLDER", "SINCE", ">WAITING", "HOLDER'S ID"]);
    for lock in locks {
        table.row([
            Cell::from(&lock.repository),
            Cell::toned(&*lock.verdict, tone_of(&lock.verdict)),
            Cell::from(lock.holder.as_deref().unwrap_or("not known")),
            Cell::from(lock.acquired_at.map_or_else(String::new, |at| human::ago(now, at))),
            Cell::from(if lock.waiting.is_empty() { String::new() } else { lock.waiting.len().to_string() }),
            Cell::toned(lock.lock_id.as_deref().unwrap_or_default(), Tone::Faint),
        ]);
    }
    table
}

pub(crate) fn tone_of(verdict: &str) -> Tone {
    match verdict {
        "live" => Tone::Good,
        "stale" => Tone::Warning,
        "unknown" => Tone::Bad,
        _ => Tone::Plain,
    }
}

impl Show for RecoveredLocksRequest {
    fn show(&self, report: &RecoveredLocks, text: &mut Text) {
        let mut table = Table::new(&["REPOSITORY", "OUTCOME", "HOLDER", "BECAUSE"]);
        for lock in &report.locks {
            let outcome = serde_json::to_value(lock.outcome).unwrap_or_default();
            table.row([
                Cell::from(&lock.repository),
                Cell::from(outcome.as_str().unwrap_or_default()),
                Cell::from(lock.holder.as_deref().unwrap_or("not known")),
                Cell::toned(lock.evidence.last().map_or("", String::as_str), Tone::Faint),
            ]);
        }
        text.table(&table);
    }

    fn remark(&self, report: &RecoveredLocks, output: &mut Output) {
        match (&report.recovery_id, report.total) {
            (None, _) => output.note("there was no recovery yet"),
            (_, 0) => output.note("the last recovery found no lock held"),
            _ => {}
        }
    }
}

impl Show for InspectLocks {
    fn show(&self, report: &InspectedLocks, text: &mut Text) {
        let now = Clock::system().now();
        for lock in &report.locks {
            text.gap();
            describe(text, lock, now);
        }
    }

    fn remark(&self, report: &InspectedLocks, output: &mut Output) {
        if report.total == 0 {
            output.note("no repository was ever locked");
        }
    }
}

fn describe(text: &mut Text, lock: &InspectedLock, now: Timestamp) {
    let about = &lock.lock;
    text.toned(tone_of(&about.verdict), format!("{}  {}", about.repository, about.verdict));
    let at = |at: Timestamp| format!("{at} ({})", human::ago(now, at));
    let note = lock.released_by.as_ref().map(|note| {
        let force = if note.forced { ", by force" } else { "" };
        note.why
            .as_ref()
            .map_or_else(|| format!("{}{force}", note.by), |why| format!("{}{force}: {why}", note.by))
    });
    text.fields(&[
        ("holder", about.holder.clone()),
        ("lock id", about.lock_id.clone()),
        ("fencing number", about.token.map(|n| n.to_string())),
        ("operation", about.operation.clone()),
        ("since", about.acquired_at.map(at)),
        ("given back", lock.released_at.map(at)),
        ("given back by", note),
        ("unavailable", lock.reason.clone()),
        ("waiting", (!about.waiting.is_empty()).then(|| about.waiting.join(", "))),
        ("file", Some(lock.file.clone())),
    ]);
    for piece in &lock.evidence {
        text.toned(Tone::Faint, format!("  - {piece}"));
    }
}
