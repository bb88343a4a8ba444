//! `jobs log ID`: what the daemon and the job's supervisors said of a job.

use super::ids::find_or_lost;
use crate::logging::{JobLog, lines_of_job};
use crate::operations::prelude::*;

/// Show what the daemon and the supervisor said of a job, as far as their logs go back
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct JobLogRequest {
    /// The job's id
    #[arg(value_name = "ID")]
    pub id: String,
}

impl Operation for JobLogRequest {
    type Report = JobLog;

    const ENTRY: Entry = Entry::local(Method::Get, &["jobs", "log"]);

    fn run(&self, context: &mut Context<'_>) -> Result<Done<JobLog>, OperationError> {
        let dir = context.state_dir()?;
        let queue = context.queue_to_look(&dir)?;
        let job = find_or_lost(&dir, queue.state(), &self.id)?;
        Ok(Done::all(lines_of_job(&dir, &job.id)?))
    }
}
