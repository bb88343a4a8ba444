//! `why job:ID`.

use recovery::report::why_job::WhyJob;

use crate::command::jobs::status::liveness_tone;
use crate::command::jobs::tone::tone_of;
use crate::table::{Cell, Table};
use crate::text::Text;

pub(crate) fn render(text: &mut Text, report: &WhyJob) {
    let tone = tone_of(report.status);
    text.toned(tone, format!("{}  {}", report.object, report.status.as_str().replace('_', " ")));
    text.line(format!("  {}", report.because));
    if let Some((verdict, liveness)) = report.verdict.as_ref().zip(report.liveness) {
        text.gap();
        text.toned(liveness_tone(liveness), format!("{liveness} ({})", verdict.replace('_', " ")));
        for (number, piece) in (1..).zip(&report.evidence) {
            text.line(format!("  {number}. [{}] {}", piece.kind, piece.detail));
        }
    }
    if let Some(at) = report.proven_at {
        text.gap();
        text.line(format!("proven at {at}:"));
        for (number, piece) in (1..).zip(&report.evidence) {
            text.line(format!("  {number}. {}", piece.detail));
        }
    }
    if !report.processes.is_empty() {
        text.gap();
        let mut table = Table::new(&["ROLE", ">PID", "STATE", ">USER", "COMMAND"]);
        for process in &report.processes {
            table.row([
                Cell::from(&*process.role),
                Cell::from(process.pid.to_string()),
                Cell::from(&*process.state),
                Cell::from(process.uid.map_or_else(String::new, |uid| uid.to_string())),
                Cell::from(process.command_line.join(" ").chars().take(60).collect::<String>()),
            ]);
        }
        text.table(&table);
    }
    if !report.findings.is_empty() {
        text.gap();
        text.findings(&report.findings);
    }
}
