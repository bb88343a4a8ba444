//! The report on jobs that need somebody's attention: failed, timed out, crashed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::jobs::CheckpointFile;
use super::page::{BadCursor, Page, cut};
use crate::jobs::Output;
use crate::queue::{Job, JobStatus, QueueState};
use crate::state::{StateDir, Timestamp};

/// How many bytes of the end of its output are shown for a job.
const TAIL_BYTES: u64 = 2048;
/// How many lines of them are shown.
const TAIL_LINES: usize = 10;

/// One job.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct FailedJob {
    pub job_id: String,
    pub status: JobStatus,
    pub reason: String,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub attempt: u32,
    pub max_attempts: u32,
    pub repository: Option<String>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub resumable: bool,
    pub checkpoint: Option<CheckpointFile>,
    /// Empty where it is withheld.
    pub output_tail: String,
}

/// The jobs, those first that entered the queue last. Cancelled ones are not among them: somebody wanted that.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct FailedJobs {
    pub jobs: Vec<FailedJob>,
    /// Whether what the jobs printed is not for the one who asks.
    pub output_withheld: bool,
    pub total: u64,
    pub next_cursor: Option<String>,
}

impl FailedJobs {
    /// Makes the report from the queue, with the last output of the jobs if that is to be shown.
    pub(crate) fn new(
        dir: &StateDir,
        state: &QueueState,
        page: &Page,
        shows_output: bool,
    ) -> Result<FailedJobs, BadCursor> {
        let failed =
            |job: &&Job| matches!(job.status, JobStatus::Failed | JobStatus::TimedOut | JobStatus::Crashed);
        let jobs: Vec<&Job> = state.jobs().filter(failed).collect();
        let total = jobs.len() as u64;
        let (part, next_cursor) = cut(jobs, &page.newest_first(), |job| job.place)?;
        let jobs = part.into_iter().map(|job| report(dir, job, shows_output)).collect();
        Ok(FailedJobs { jobs, output_withheld: !shows_output, total, next_cursor })
    }
}

fn report(dir: &StateDir, job: &Job, shows_output: bool) -> FailedJob {
    let run = job.run_state();
    FailedJob {
        job_id: job.id.to_string(),
        status: job.status,
        reason: reason(job),
        exit_code: run.exit_code,
        signal: run.signal,
        attempt: job.attempt,
        max_attempts: job.spec().map_or(0, |spec| spec.max_attempts),
        repository: job.repository.as_deref().map(str::to_owned),
        started_at: run.started_at,
        finished_at: run.finished_at,
        resumable: job.status.is_resumable(),
        checkpoint: CheckpointFile::of(dir, job),
        output_tail: if shows_output { output_tail(dir, job) } else { String::new() },
    }
}

fn reason(job: &Job) -> String {
    let run = job.run_state();
    match (&run.reason, run.exit_code, run.signal) {
        (Some(reason), ..) => reason.clone(),
        (None, Some(code), _) => format!("exit status {code}"),
        (None, None, Some(signal)) => format!("signal {signal}"),
        (None, None, None) => job.status.as_str().replace('_', " "),
    }
}

/// Returns the last lines; empty when the job printed nothing or the output cannot be read.
fn output_tail(dir: &StateDir, job: &Job) -> String {
    let output = Output::of(dir, job, None).ok();
    let text = output.and_then(|output| output.tail(TAIL_BYTES).ok()).unwrap_or_default();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].concat()
}
