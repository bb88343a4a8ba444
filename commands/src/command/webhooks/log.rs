//! `webhooks log`: what was tried and how it ended.

use recovery::operations::webhooks::DeliveryLogRequest;
use recovery::report::webhooks::DeliveryLogReport;
use recovery::state::{Clock, human};
use recovery::webhooks::DeliveryOutcome;

use crate::operate::Show;
use crate::output::Output;
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

impl Show for DeliveryLogRequest {
    fn show(&self, report: &DeliveryLogReport, text: &mut Text) {
        let now = Clock::system().now();
        let mut table =
            Table::new(&["WHEN", "DELIVERY", "JOB", ">TRY", "OUTCOME", ">CODE", ">MS", "TO", "BECAUSE"]);
        for e in &report.entries {
            let tone = if e.outcome == DeliveryOutcome::Delivered { Tone::Good } else { Tone::Warning };
            table.row([
                Cell::from(human::ago(now, e.at)),
                Cell::from(e.delivery_id.to_string()),
                Cell::from(e.job_id.as_deref().unwrap_or(e.event.as_str())),
                Cell::from(e.attempt.to_string()),
                Cell::toned(e.outcome.as_str(), tone),
                Cell::from(e.status_code.map_or_else(String::new, |c| c.to_string())),
                Cell::from(e.duration_ms.to_string()),
                Cell::from(&e.url),
                Cell::toned(e.error.as_deref().unwrap_or_default(), Tone::Faint),
            ]);
        }
        text.table(&table);
        if !report.findings.is_empty() {
            text.gap();
            text.findings(&report.findings);
        }
    }

    fn remark(&self, report: &DeliveryLogReport, output: &mut Output) {
        if report.total == 0 {
            output.note("nothing was tried yet");
        }
    }
}
