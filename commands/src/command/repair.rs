//! `repair`: repairs damage, and says what it did about each thing.

use recovery::operations::queue::{RepairAnswer, RepairRequest};
use recovery::state::human;

use crate::operate::Show;
use crate::output::Output;
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

impl Show for RepairRequest {
    fn show(&self, answer: &RepairAnswer, text: &mut Text) {
        render(text, answer);
    }

    fn remark(&self, answer: &RepairAnswer, output: &mut Output) {
        for left in &answer.report.left {
            output.hint(&format!("{}: {}", left.object, left.next));
        }
    }
}

fn render(text: &mut Text, answer: &RepairAnswer) {
    let report = &answer.report;
    for dead in &answer.assumed_dead {
        let act = if report.dry_run { "would be" } else { "was" };
        text.line(format!("job {}: {act} declared dead ({})", dead.job_id, dead.outcome.replace('_', " ")));
    }
    let mut table = Table::new(&["OBJECT", "ACT", "DONE", "BECAUSE"]);
    for act in &report.actions {
        let (done, tone) = match (&act.error, act.done) {
            (_, true) => ("yes".to_owned(), Tone::Good),
            (None, false) if report.dry_run => ("would".to_owned(), Tone::Plain),
            (error, false) => {
                (error.as_ref().map_or_else(|| "no".to_owned(), |e| format!("no: {e}")), Tone::Bad)
            }
        };
        table.row([
            Cell::from(act.object.to_string()),
            Cell::from(&*act.action),
            Cell::toned(done, tone),
            Cell::toned(format!("{}: {}", act.reason, act.detail), Tone::Faint),
        ]);
    }
    text.table(&table);
    for left in &report.left {
        text.gap();
        text.toned(Tone::Warning, format!("{}: {}", left.object, left.reason));
        left.evidence.iter().for_each(|piece| text.toned(Tone::Faint, format!("  - {piece}")));
    }
    for kept in &report.quarantined {
        text.line(format!("kept: {kept}"));
    }
    let (before, after) = (report.before.problems, report.after.problems);
    if report.dry_run {
        text.line(format!("{}; nothing was changed", human::count(before, "problem")));
    } else if before == 0 {
        text.toned(Tone::Good, "nothing to repair");
    } else {
        text.line(format!("{} before, {after} now", human::count(before, "problem")));
    }
}
