//! `jobs show ID`: everything about one job.

use super::ids::find_or_lost;
use crate::operations::prelude::*;
use crate::report::jobs::JobDetail;
use crate::report::{held_repositories, lock_of};

/// Show everything about a job
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct ShowJob {
    /// The job's id
    #[arg(value_name = "ID")]
    #[schemars(length(min = 1))]
    pub id: String,
}

impl Operation for ShowJob {
    type Report = JobDetail;

    const ENTRY: Entry =
        Entry::get(&["jobs", "show"], "/api/jobs/{id}", "Everything about a job").from_queue();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<JobDetail>, OperationError> {
        let dir = context.state_dir()?;
        let queue = context.queue_to_look(&dir)?;
        let job = find_or_lost(&dir, queue.state(), &self.id)?;
        let held = held_repositories(&dir, queue.state())?;
        let lock = lock_of(&dir, queue.state(), job);
        Ok(Done::all(JobDetail::new(&dir, queue.state(), &held, job, lock)))
    }
}
