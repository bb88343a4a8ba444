//! `locks detect-stale`: the locks whose holders are gone.

use recovery::operations::locks::DetectStaleLocks;
use recovery::report::locks::StaleReport;

use crate::operate::Show;
use crate::output::Output;
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

impl Show for DetectStaleLocks {
    fn show(&self, report: &StaleReport, text: &mut Text) {
        render(text, report);
    }

    fn remark(&self, report: &StaleReport, output: &mut Output) {
        if report.found.stale.is_empty() && report.found.unknown.is_empty() {
            output.note("no lock is stale");
        }
        if !self.release && !report.found.stale.is_empty() {
            output.hint("give them back with: recoveryctl locks detect-stale --release");
        }
    }
}

fn render(text: &mut Text, report: &StaleReport) {
    let mut table = Table::new(&["REPOSITORY", "LOCK", "HOLDER", "BECAUSE"]);
    for lock in &report.found.stale {
        let (state, tone) = match (&lock.error, lock.released) {
            (_, true) => ("given back", Tone::Good),
            (Some(_), _) => ("not given back", Tone::Bad),
            _ => ("stale", Tone::Warning),
        };
        let because = lock.error.as_deref().or(lock.evidence.last().map(String::as_str)).unwrap_or_default();
        table.row([
            Cell::from(&lock.repository),
            Cell::toned(state, tone),
            Cell::from(lock.holder.as_deref().unwrap_or("not known")),
            Cell::toned(because, Tone::Faint),
        ]);
    }
    for lock in &report.found.unknown {
        table.row([
            Cell::from(&lock.repository),
            Cell::toned("unknown", Tone::Bad),
            Cell::from("not known"),
            Cell::toned(&lock.why, Tone::Faint),
        ]);
    }
    text.table(&table);
    text.line(format!(
        "{} stale, {} live, {} unknown, {} free",
        report.found.stale.len(),
        report.found.live,
        report.found.unknown.len(),
        report.found.free
    ));
}
