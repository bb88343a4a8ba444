//! `resume JOB…`.

use recovery::operations::jobs::{ResumeJobs, ResumeReport};

use crate::operate::Show;
use crate::output::Output;
use crate::text::Text;

impl Show for ResumeJobs {
    fn show(&self, report: &ResumeReport, text: &mut Text) {
        let act = if report.dry_run { "would be queued again" } else { "queued again" };
        for job in &report.resumed {
            let from = if job.from_checkpoint { "from its checkpoint" } else { "from the start" };
            text.line(format!("{}: {act}, attempt {}, {from}", job.job_id, job.attempt));
        }
    }

    fn remark(&self, report: &ResumeReport, output: &mut Output) {
        // When one job was not resumed, the error says why.
        let is_told = !report.resumed.is_empty() || report.refused.len() > 1;
        if is_told && !output.is_json() {
            for refused in &report.refused {
                output.warning(&format!("job {}: {}", refused.job_id, refused.detail));
            }
        }
    }
}
