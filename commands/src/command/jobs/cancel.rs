//! `jobs cancel ID…`.

use recovery::operations::jobs::{CancelJobs, CancelReport};

use crate::operate::Show;
use crate::output::Output;
use crate::text::Text;

impl Show for CancelJobs {
    fn show(&self, report: &CancelReport, text: &mut Text) {
        for job in &report.cancelled {
            text.line(format!("{}: {}", job.job_id, job.detail));
        }
    }

    fn remark(&self, report: &CancelReport, output: &mut Output) {
        // When none was cancelled, the error says why.
        if !report.cancelled.is_empty() && !output.is_json() {
            for refused in &report.refused {
                output.warning(&format!("job {}: {}", refused.job_id, refused.detail));
            }
        }
    }
}
