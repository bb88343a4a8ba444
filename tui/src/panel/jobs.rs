//! Every job in a line.

use std::borrow::Cow;
use std::cmp::Ordering;

use recovery::operations::TABLE;
use recovery::queue::JobStatus;
use recovery::report::attempts::ran_for;
use recovery::report::jobs::{JobList, JobSummary};
use recovery::state::{Timestamp, human};

use crate::action::Action;
use crate::listing::{Cell, Column, Listing, Object, Open, Tone, has};

const COLUMNS: &[Column] = &[
    Column::new("JOB", 14, 0).growing(2),
    Column::new("STATUS", 10, 0),
    Column::number("TRY", 3, 3),
    Column::number("PRIO", 4, 5),
    Column::new("REPOSITORY", 12, 4).growing(1),
    Column::number("SUBMITTED", 11, 2),
    Column::number("RAN", 11, 2),
    Column::number("EXIT", 6, 1),
    Column::new("NOTE", 18, 1).growing(3),
];

/// The list of all jobs.
pub struct Jobs(pub JobList);

impl Jobs {
    fn job(&self, row: usize) -> &JobSummary {
        &self.0.jobs[row]
    }
}

/// How a status looks.
pub(crate) fn tone_of(status: JobStatus) -> Tone {
    match status {
        JobStatus::Running => Tone::Busy,
        JobStatus::Succeeded => Tone::Good,
        JobStatus::Failed | JobStatus::TimedOut => Tone::Bad,
        JobStatus::Crashed => Tone::Warning,
        JobStatus::Cancelled => Tone::Quiet,
        JobStatus::Queued => Tone::Plain,
    }
}

/// The actions on jobs of these statuses.
pub(crate) fn actions(jobs: &[(&str, JobStatus)]) -> Vec<Action> {
    let of = |is_meant: fn(JobStatus) -> bool| -> Vec<String> {
        let meant = jobs.iter().filter(|(_, status)| is_meant(*status));
        meant.map(|(id, _)| (*id).to_owned()).collect()
    };
    let resumable = of(JobStatus::is_resumable);
    let open = of(|status| !status.is_over());
    let mut actions = Vec::new();
    if !resumable.is_empty() {
        actions.extend([Action::resume(&resumable), Action::resume_fresh(&resumable)]);
    }
    if !open.is_empty() {
        actions.push(Action::cancel(&open));
    }
    for (entry, offer) in TABLE.iter().filter_map(|row| Some((&row.entry, row.entry.offer?))) {
        let meant = jobs.iter().filter(|(_, status)| offer.statuses.contains(status));
        let ids: Vec<String> = meant.map(|(id, _)| (*id).to_owned()).collect();
        if !ids.is_empty() {
            actions.push(Action::offered(entry, offer, &ids));
        }
    }
    actions
}

impl Listing for Jobs {
    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn len(&self) -> usize {
        self.0.jobs.len()
    }

    fn key(&self, row: usize) -> Cow<'_, str> {
        (&*self.job(row).job_id).into()
    }

    fn cell(&self, row: usize, column: usize, now: Timestamp) -> Cell<'_> {
        let job = self.job(row);
        match column {
            0 => Cell::plain(&*job.job_id),
            1 => Cell::toned(job.status.as_str(), tone_of(job.status)),
            2 => Cell::plain(job.attempt.to_string()),
            3 if job.priority != 0 => Cell::plain(job.priority.to_string()),
            4 => Cell::plain(job.repository.as_deref().unwrap_or_default()),
            5 => Cell::plain(human::ago(now, job.submitted_at)),
            6 => Cell::plain(ran(job, now)),
            7 => Cell::plain(end(job)),
            8 => Cell::toned(note(job, now), Tone::Quiet),
            _ => Cell::plain(""),
        }
    }

    fn compare(&self, a: usize, b: usize, column: usize) -> Ordering {
        let (a, b) = (self.job(a), self.job(b));
        match column {
            0 => a.job_id.cmp(&b.job_id),
            1 => a.status.as_str().cmp(b.status.as_str()),
            2 => a.attempt.cmp(&b.attempt),
            3 => b.priority.cmp(&a.priority),
            4 => a.repository.cmp(&b.repository),
            5 => b.submitted_at.cmp(&a.submitted_at),
            6 => took(b).cmp(&took(a)),
            7 => (a.exit_code, a.signal).cmp(&(b.exit_code, b.signal)),
            _ => (&a.waiting_for, &a.reason).cmp(&(&b.waiting_for, &b.reason)),
        }
    }

    fn matches(&self, row: usize, needle: &str) -> bool {
        let job = self.job(row);
        let texts = [&job.repository, &job.waiting_for, &job.reason, &job.title];
        has(&job.job_id, needle)
            || has(job.status.as_str(), needle)
            || texts.into_iter().flatten().any(|text| has(text, needle))
    }

    fn summary(&self, _now: Timestamp) -> Vec<Cell<'_>> {
        let noun = if self.0.total == 1 { "job" } else { "jobs" };
        vec![Cell::plain(format!("{} {noun}", self.0.total))]
    }

    fn empty(&self) -> &'static str {
        "No jobs. Submit one with: recoveryctl submit -- COMMAND"
    }

    fn open(&self, row: usize) -> Option<Open> {
        Some(Open::Object(Object::Job(self.job(row).job_id.clone())))
    }

    fn why(&self, row: usize) -> Option<Object> {
        Some(Object::Why(format!("job:{}", self.job(row).job_id)))
    }

    fn output(&self, row: usize) -> Option<Object> {
        Some(Object::Output(self.job(row).job_id.clone()))
    }

    fn actions(&self, rows: &[usize]) -> Vec<Action> {
        let jobs: Vec<(&str, JobStatus)> =
            rows.iter().map(|&row| self.job(row)).map(|job| (&*job.job_id, job.status)).collect();
        actions(&jobs)
    }
}

fn took(job: &JobSummary) -> Option<i64> {
    Some(job.finished_at?.millis_since(job.started_at?))
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

fn note(job: &JobSummary, now: Timestamp) -> Cow<'_, str> {
    if let Some(object) = &job.waiting_for {
        return format!("waits for {object}").into();
    }
    match (job.not_before.filter(|at| *at > now), &job.reason, &job.title) {
        (Some(at), _, _) => format!("starts {}", human::ago(now, at)).into(),
        (None, Some(reason), _) => reason.into(),
        (None, None, title) => title.as_deref().unwrap_or_default().into(),
    }
}
