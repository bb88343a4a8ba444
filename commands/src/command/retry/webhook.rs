//! `retry webhook`.

use recovery::operations::webhooks::RetryDeliveries;
use recovery::report::webhooks::RetryReport;

use crate::command::webhooks::choose::describe;
use crate::operate::Show;
use crate::text::Text;

impl Show for RetryDeliveries {
    fn show(&self, report: &RetryReport, text: &mut Text) {
        let done = if report.dry_run { "would be tried again" } else { "is tried again" };
        describe(text, done, &report.retried, &report.refused);
    }
}
