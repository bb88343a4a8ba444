//! `jobs prune`: jobs that are over, and old enough, go with all they left.

use crate::cleanup::{CleanupRecord, CleanupStatus};
use crate::daemon::{CleanedPrune, PruneCleanup, prune_cleaned, would_prune_cleaned};
use crate::operations::prelude::*;
use crate::operations::settings::{cleaning, judging, retention};
use crate::prune::JobRetention;
use crate::queue::Queue;

/// Remove jobs that are over, with workspace, output and record
///
/// A job stays as long as one of the rules keeps it, and as long as anything still refers to it: a process, a
/// lock, a callback that is to come, anybody who works in its workspace. What it left besides files (Docker objects,
/// a code index, uncommitted work in a git repository) is cleaned up first; until that is done it stays. Crashed jobs
/// stay unless --crashed is given. The daemon does the same once a day, by jobs.keep_days and jobs.keep_last of the
/// configuration; so does this command when it is given no rule.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct PruneJobs {
    /// Keep the jobs that ended within so many days
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=36_500))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
    /// Keep so many of the jobs that ended last
    #[arg(long, value_name = "N")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<u64>,
    /// Crashed jobs may go too, although they could be resumed
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub crashed: bool,
}

/// The jobs that are gone, and those that stay although they are old enough.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form.
pub struct JobsPruned {
    #[serde(flatten)]
    pub pruned: CleanedPrune,
    pub dry_run: bool,
}

impl Operation for PruneJobs {
    type Report = JobsPruned;

    const ENTRY: Entry = Entry::local(Method::Post, &["jobs", "prune"]);

    fn run(&self, context: &mut Context<'_>) -> Result<Done<JobsPruned>, OperationError> {
        let (settings, cleanup) = (judging(context), cleaning(context));
        let rules = self.rules(context);
        let dir = context.state_dir()?;
        let mut queue = Queue::open(&dir)?;
        let dry_run = context.is_dry_run();
        let pruned = if dry_run {
            would_prune_cleaned(&dir, &queue, &rules, &cleanup, &settings)
        } else {
            let interrupt = context.front().catch();
            let stop = || interrupt.requested().is_some();
            prune_cleaned(&dir, &mut queue, &rules, &cleanup, &settings, &stop, &|_: &CleanupRecord| ())?
        };
        let is_cleaned = |c: &PruneCleanup| dry_run || c.status == CleanupStatus::Completed;
        let is_whole = pruned.report.trash.failed.is_empty() && pruned.cleanups.iter().all(is_cleaned);
        Ok(Done::complete_if(is_whole, JobsPruned { pruned, dry_run }))
    }
}

impl PruneJobs {
    /// What is given; without a rule, what is configured.
    fn rules(&self, context: &Context<'_>) -> JobRetention {
        let PruneJobs { keep_days, keep_last, crashed } = *self;
        match keep_days.is_some() || keep_last.is_some() {
            true => JobRetention { keep_days, keep_last, crashed },
            false => JobRetention { crashed, ..retention(context.settings()) },
        }
    }
}
