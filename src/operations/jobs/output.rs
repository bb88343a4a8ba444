//! `jobs output ID`: what a job printed.

use super::ids::{find, no_such_job};
use crate::jobs::Output;
use crate::operations::arguments::Size;
use crate::operations::prelude::*;
use crate::queue::{Job, JobStatus};
use crate::state::StateDir;
use crate::state::names::BadName;

/// A document has no more of an output than its end of this length, in bytes: it is in memory as a whole.
const LONGEST_DOCUMENT: u64 = 4 << 20;

/// Print what a job printed
///
/// The bytes as they are; only on a terminal control characters are shown instead of obeyed. With --json, at most the
/// last 4 MiB.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct ShowOutput {
    /// The job: its id, the beginning of one, @last or @last-failed
    #[arg(value_name = "ID")]
    #[schemars(length(min = 1))]
    pub id: String,
    /// Of an earlier attempt [default: the last]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub attempt: Option<u32>,
    /// Only the last bytes, such as 64KiB
    #[arg(long, value_name = "SIZE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", regex(pattern = r"^[0-9]{1,9}(B|KiB|MiB)?$"))]
    pub tail: Option<Size>,
}

/// What a job printed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "JobOutput")]
#[allow(missing_docs)] // The members are the published form.
pub struct OutputReport {
    pub job_id: String,
    pub attempt: u32,
    /// How many bytes the attempt printed in all.
    pub bytes: u64,
    /// Whether `output` is only the end of it: it is at most the last 4 MiB.
    pub truncated: bool,
    /// Bytes that are no UTF-8 are replaced.
    pub output: String,
}

impl Operation for ShowOutput {
    type Report = OutputReport;

    const ENTRY: Entry =
        Entry::get(&["jobs", "output"], "/api/jobs/{id}/output", "What a job printed").of_output();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<OutputReport>, OperationError> {
        if !context.shows_output() {
            return Err(output_withheld());
        }
        let dir = context.state_dir()?;
        let queue = context.queue_to_look(&dir)?;
        let job = find(queue.state(), &self.id)?;
        let attempt = self.attempt_of(job, false)?;
        let bytes = printed(&dir, job, attempt)?;
        let tail = self.tail.map_or(u64::MAX, |tail| tail.0).min(LONGEST_DOCUMENT);
        let output = file_of(&dir, job, attempt)?.tail(tail)?;
        let truncated = tail < bytes;
        Ok(Done::all(OutputReport { job_id: job.id.to_string(), attempt, bytes, truncated, output }))
    }
}

impl ShowOutput {
    /// The attempt that is asked for: the last one that was begun, unless another is named.
    pub(crate) fn attempt_of(&self, job: &Job, is_followed: bool) -> Result<u32, OperationError> {
        match self.attempt {
            Some(attempt) if attempt > job.attempt => {
                let message =
                    format!("job {} has no attempt {attempt}; it has come to {}", self.id, job.attempt);
                Err(OperationError::new(ErrorKind::NotFound, message).code("no-such-attempt"))
            }
            Some(attempt) => Ok(attempt),
            // While the next attempt waits, what is there is the one before. A follower wants the next.
            None if !is_followed && job.status == JobStatus::Queued && job.attempt > 1 => Ok(job.attempt - 1),
            None => Ok(job.attempt),
        }
    }
}

/// To a client of the daemon that may look, and not at this.
pub fn output_withheld() -> OperationError {
    let message =
        "what jobs print is not shown to viewers: daemon.viewer_output of the configuration is false";
    OperationError::new(ErrorKind::NotAuthorised, message)
        .code("output-not-for-viewers")
        .hint("show the token in daemon/admin.token, or set viewer_output = true in the table [daemon]")
}

/// How much an attempt has printed, in bytes.
pub(super) fn printed(dir: &StateDir, job: &Job, attempt: u32) -> Result<u64, OperationError> {
    match file_of(dir, job, attempt)?.len() {
        Err(e) if e.is_not_found() => Ok(0),
        other => Ok(other?),
    }
}

fn file_of(dir: &StateDir, job: &Job, attempt: u32) -> Result<Output, OperationError> {
    Output::of(dir, job, Some(attempt)).map_err(|_: BadName| no_such_job(&job.id.to_string()))
}
