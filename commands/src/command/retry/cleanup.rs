//! `retry cleanup`: tries the failed phases of a cleanup again.

use recovery::operations::cleanup::{RetryCleanup, RetryCleanupReport};

use crate::operate::Show;
use crate::output::Output;
use crate::text::Text;

impl Show for RetryCleanup {
    fn show(&self, report: &RetryCleanupReport, text: &mut Text) {
        let word = if report.dry_run { "would be tried again" } else { "tried again" };
        let (id, named) = (&report.cleanup_id, report.names());
        text.line(match named.is_empty() {
            true => format!("cleanup {id}: nothing had failed"),
            false => format!("cleanup {id}: {named} {word}"),
        });
    }

    fn remark(&self, report: &RetryCleanupReport, output: &mut Output) {
        if !report.dry_run {
            output.hint("a daemon does it, or: recoveryctl cleanup run");
        }
    }
}
