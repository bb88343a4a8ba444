//! `jobs failed`: what needs somebody's attention.

use recovery::operations::jobs::FailedJobsRequest;
use recovery::report::failed::{FailedJob, FailedJobs};
use recovery::state::{Clock, Timestamp, human};

use crate::command::jobs::tone::tone_of;
use crate::operate::Show;
use crate::output::Output;
use crate::paint::Tone;
use crate::text::Text;

impl Show for FailedJobsRequest {
    fn show(&self, report: &FailedJobs, text: &mut Text) {
        let now = Clock::system().now();
        for job in &report.jobs {
            text.gap();
            describe(text, job, now);
        }
    }

    fn remark(&self, report: &FailedJobs, output: &mut Output) {
        if report.output_withheld {
            output.note("what the jobs printed is left out: daemon.viewer_output is false");
        }
        match report.total {
            0 => output.note("no job has failed, timed out or crashed"),
            _ => output.hint("recoveryctl resume JOB starts the next attempt"),
        }
    }
}

fn describe(text: &mut Text, job: &FailedJob, now: Timestamp) {
    let when = job.finished_at.map_or_else(String::new, |at| format!(", {}", human::ago(now, at)));
    let status = job.status.as_str().replace('_', " ");
    let tone = tone_of(job.status);
    text.toned(tone, format!("{}  {status}: {}{when}", job.job_id, job.reason));
    text.fields(&[
        ("attempt", Some(job.attempt.to_string())),
        ("repository", job.repository.clone()),
        (
            "checkpoint",
            job.checkpoint
                .as_ref()
                .map(|c| format!("{}, {}", human::size(c.bytes), human::ago(now, c.modified_at))),
        ),
    ]);
    for line in job.output_tail.lines() {
        text.toned(Tone::Faint, format!("  | {line}"));
    }
}
