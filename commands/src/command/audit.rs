//! `audit`: who changed what, when and why.

use recovery::operations::trail::AuditRequest;
use recovery::report::audit::{AuditEntry, AuditReport};

use crate::operate::Show;
use crate::output::Output;
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

impl Show for AuditRequest {
    fn show(&self, report: &AuditReport, text: &mut Text) {
        text.table(&table(&report.entries));
        text.findings(&report.findings);
    }

    fn remark(&self, report: &AuditReport, output: &mut Output) {
        if report.total == 0 {
            output.note("nothing was changed");
        }
    }
}

fn table(entries: &[AuditEntry]) -> Table {
    let mut table = Table::new(&["WHEN", "WHO", "ACTION", "OBJECT", "RESULT", "WHY"]);
    for entry in entries {
        let who = entry.user.clone().or(entry.uid.map(|uid| uid.to_string()));
        let terminal = entry.terminal.as_ref().map_or_else(String::new, |t| format!(" ({t})"));
        let result = entry.result.as_str();
        table.row([
            Cell::toned(entry.at.to_string(), Tone::Faint),
            Cell::from(format!("{}{terminal}", who.as_ref().unwrap_or(&entry.by))),
            Cell::from(&entry.action),
            Cell::from(entry.object.to_string()),
            Cell::toned(result, if result == "done" { Tone::Plain } else { Tone::Bad }),
            Cell::from(entry.reason.as_deref().unwrap_or(&entry.detail)),
        ]);
    }
    table
}
