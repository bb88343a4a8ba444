//! `jobs failed`: what needs somebody's attention.

use recovery::report::failed::{FailedJob, FailedJobs};
use recovery::state::{Timestamp, human};

use crate::command::jobs::tone::{status_of, tone_of};
use crate::command::page::PageArgs;
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::paint::Tone;
use crate::text::Text;

pub(crate) fn failed(context: &mut Context, page: &PageArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let queue = context.queue_to_look(&dir)?;
    let report = FailedJobs::new(&dir, queue.state(), &page.page(), context.shows_output())?;
    let now = dir.clock.now();
    context.output.report(&report, |text| {
        for job in &report.jobs {
            text.gap();
            describe(text, job, now);
        }
    });
    if report.output_withheld {
        context.output.note("what the jobs printed is left out: daemon.viewer_output is false");
    }
    match report.total {
        0 => context.output.note("no job has failed, timed out or crashed"),
        _ => context.output.hint("recoveryctl resume JOB starts the next attempt"),
    }
    Ok(Ending::Done)
}

fn describe(text: &mut Text, job: &FailedJob, now: Timestamp) {
    let when = job.finished_at.map_or_else(String::new, |at| format!(", {}", human::ago(now, at)));
    let status = job.status.replace('_', " ");
    let tone = status_of(job.status).map_or(Tone::Plain, tone_of);
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
