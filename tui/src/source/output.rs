//! The end of a job's output.

use recovery::jobs::Output as OutputFile;
use recovery::queue::{Job, JobStatus};
use recovery::state::StateDir;

use crate::panel::job::Output;

/// How much of it is shown, bytes.
pub(super) const SHOWN: u64 = 64 << 10;

/// Reads the end of the output of the job's latest attempt.
pub(super) fn read(dir: &StateDir, job: &Job) -> Result<Output, String> {
    // While the next attempt waits, the present output is of the one before.
    let waits = job.status == JobStatus::Queued && job.attempt > 1;
    let attempt = job.attempt - u32::from(waits);
    let file = OutputFile::of(dir, job, Some(attempt)).map_err(|e| e.to_string())?;
    let bytes = match file.len() {
        Err(e) if e.is_not_found() => 0,
        other => other.map_err(|e| format!("{e}: {}", e.source))?,
    };
    let text = file.tail(SHOWN).map_err(|e| format!("{e}: {}", e.source))?;
    Ok(Output { job_id: job.id.to_string(), attempt, status: job.status.as_str(), bytes, text })
}
