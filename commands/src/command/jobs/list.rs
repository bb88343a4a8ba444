//! `jobs list`: every job in a line.

use clap::Args;
use clap::builder::PossibleValuesParser;
use recovery::queue::JobStatus;
use recovery::report::attempts::ran_for;
use recovery::report::held_repositories;
use recovery::report::jobs::{JobFilter, JobList, JobSummary};
use recovery::state::{Timestamp, human};

use crate::command::jobs::tone::{status_of, tone_of};
use crate::command::page::PageArgs;
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::paint::Tone;
use crate::table::{Cell, Table};

/// List jobs, the newest first
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those of this status
    #[arg(long, value_name = "STATUS", value_parser = statuses())]
    status: Option<String>,
    /// Only those on this repository
    #[arg(long, value_name = "NAME")]
    repo: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

fn statuses() -> PossibleValuesParser {
    JobStatus::ALL.iter().map(|status| status.as_str()).collect::<Vec<_>>().into()
}

pub(crate) fn list(context: &mut Context, args: &ListArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let queue = context.queue_to_look(&dir)?;
    let held = held_repositories(&dir, queue.state())?;
    let filter =
        JobFilter { status: args.status.as_deref().and_then(status_of), repository: args.repo.clone() };
    let list = JobList::new(queue.state(), &held, &filter, &args.page.page())?;
    let now = dir.clock.now();
    context.output.report(&list, |text| text.table(&table(&list.jobs, now)));
    if list.jobs.is_empty() {
        context.output.note(if list.total == 0 { "no jobs" } else { "no more jobs" });
    }
    if let Some(cursor) = &list.next_cursor {
        let shown = format!("{} of {}", list.jobs.len(), human::count(list.total, "job"));
        context.output.hint(&format!("{shown}; go on with --cursor {cursor}"));
    }
    Ok(Ending::Done)
}

/// Jobs as lines; shared with `queue snapshot`.
pub(crate) fn table(jobs: &[JobSummary], now: Timestamp) -> Table {
    let mut table =
        Table::new(&["JOB", "STATUS", ">TRY", ">PRIO", "REPOSITORY", "SUBMITTED", ">RAN", ">EXIT", "NOTE"]);
    for job in jobs {
        let status = status_of(job.status).map_or(Tone::Plain, tone_of);
        table.row([
            Cell::from(&job.job_id),
            Cell::toned(job.status, status),
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
    let until = job.finished_at.or((job.status == JobStatus::Running.as_str()).then_some(now));
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
