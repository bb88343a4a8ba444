//! `jobs list`: every job in a line.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operations::arguments::word_of;
use crate::operations::context::Context;
use crate::operations::entry::{Done, Entry, Operation};
use crate::operations::error::OperationError;
use crate::operations::page::PageRequest;
use crate::queue::JobStatus;
use crate::report::held_repositories;
use crate::report::jobs::{JobFilter, JobList};

/// List jobs, the newest first
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct ListJobs {
    /// Only those of this status
    #[arg(long, value_name = "STATUS", value_parser = word_of::<JobStatus>(JobStatus::ALL.iter().map(|s| s.as_str())))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<JobStatus>,
    /// Only those on this repository
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Which part of the list
    #[command(flatten)]
    #[serde(flatten)]
    pub page: PageRequest,
}

impl Operation for ListJobs {
    type Report = JobList;

    const ENTRY: Entry =
        Entry::get(&["jobs", "list"], "/api/jobs", "The jobs, the newest first").cached().from_queue();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<JobList>, OperationError> {
        let dir = context.state_dir()?;
        let queue = context.queue_to_look(&dir)?;
        let held = held_repositories(&dir, queue.state())?;
        let filter = JobFilter { status: self.status, repository: self.repo.clone() };
        Ok(Done::all(JobList::new(queue.state(), &held, &filter, &self.page.page())?))
    }
}
