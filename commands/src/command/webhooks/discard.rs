//! `webhooks discard`.

use recovery::operations::webhooks::DiscardDeliveries;
use recovery::report::webhooks::DiscardReport;

use crate::command::webhooks::choose::describe;
use crate::operate::Show;
use crate::text::Text;

impl Show for DiscardDeliveries {
    fn show(&self, report: &DiscardReport, text: &mut Text) {
        let done = if report.dry_run { "would be given up" } else { "is given up" };
        describe(text, done, &report.discarded, &report.refused);
    }
}
