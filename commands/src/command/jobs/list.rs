//! `jobs list`: every job in a line.

use recovery::operations::jobs::ListJobs;
use recovery::queue::JobStatus;
use recovery::report::attempts::ran_for;
use recovery::report::jobs::{JobList, JobSummary};
use recovery::state::{Clock, Timestamp, human};

use crate::command::jobs::tone::tone_of;
use crate::operate::Show;
use crate::output::Output;
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

impl Show for ListJobs {
    fn show(&self, list: &JobList, text: &mut Text) {
        text.table(&table(&list.jobs, Clock::system().now()));
    }

    fn remark(&self, list: &JobList, output: &mut Output) {
        if list.jobs.is_empty() {
            output.note(if list.total == 0 { "no jobs" } else { "no more jobs" });
        }
        if let Some(cursor) = &list.next_cursor {
            let shown = format!("{} of {}", list.jobs.len(), human::count(list.total, "job"));
            output.hint(&format!("{shown}; go on with --cursor {cursor}"));
        }
    }
}

/// Jobs as lines; shared with `queue snapshot`.
pub(crate) fn table(jobs: &[JobSummary], now: Timestamp) -> Table {
    let mut table =
        Table::new(&["JOB", "STATUS", ">TRY", ">PRIO", "REPOSITORY", "SUBMITTED", ">RAN", ">EXIT", "NOTE"]);
    for job in jobs {
        let status = tone_of(job.status);
        table.row([
            Cell::from(&job.job_id),
            Cell::toned(job.status.as_str(), status),
            Cell::from(job.attempt.to_string()),
            Cell::from(if job.priority == 0 { String::new() } else { job.priority.to_string() }),
            Cell::from(job.repository.as_deref().unwrap_or_default()),
            Cell::from(human::ago(now, job.submitted_at)),
            Cell::from(ran(job, now)),
            Cell::from(end(job)),
            Cell::toned(note(job, now), Tone::Faint),
        ]);
    }
    table
}

/// How long the last attempt ran, or has run so far.
fn ran(job: &JobSummary, now: Timestamp) -> String {
    let until = job.finished_at.or((job.status == JobStatus::Running).then_some(now));
    let ran = ran_for(job.started_at, until).and_then(|ms| u64::try_from(ms).ok());
    ran.map_or_else(String::new, human::duration)
}

fn end(job: &JobSummary) -> String {
    match (job.exit_code, job.signal) {
        (Some(code), _) => code.to_string(),
        (None, Some(signal)) => format!("sig {signal}"),
        _ => String::new(),
    }
}

fn note(job: &JobSummary, now: Timestamp) -> String {
    if let Some(object) = &job.waiting_for {
        return format!("waits for {object}");
    }
    match (job.not_before.filter(|at| *at > now), &job.reason, &job.title) {
        (Some(at), _, _) => format!("starts {}", human::ago(now, at)),
        (None, Some(reason), _) => reason.clone(),
        (None, None, title) => title.clone().unwrap_or_default(),
    }
}
