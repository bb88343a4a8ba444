//! `jobs …`: the commands and their dispatch.

pub(crate) mod cancel;
mod failed;
pub(crate) mod list;
mod log;
mod metrics;
pub(crate) mod output;
mod prune;
mod sentinels;
mod show;
pub(crate) mod status;
pub(crate) mod tone;

use clap::{Args, Subcommand};
use recovery::operations::jobs::{
    CancelJobs, FailedJobsRequest, JobMetricsRequest, JobsStatusRequest, ListJobs, SentinelsRequest, ShowJob,
};

use crate::command::jobs::log::{LogArgs, log};
use crate::command::jobs::output::{OutputArgs, output};
use crate::command::jobs::prune::{PruneArgs, prune};
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::operate;

/// List, show, cancel and remove jobs, and read what they printed
#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    #[command(subcommand)]
    word: JobsWord,
}

#[derive(Debug, Subcommand)]
enum JobsWord {
    List(ListJobs),
    Show(ShowJob),
    Output(OutputArgs),
    Cancel(CancelJobs),
    Prune(PruneArgs),
    Status(JobsStatusRequest),
    Log(LogArgs),
    Sentinels(SentinelsRequest),
    Failed(FailedJobsRequest),
    Metrics(JobMetricsRequest),
}

impl JobsArgs {
    /// Whether it may change something.
    pub(crate) fn changes(&self) -> bool {
        matches!(self.word, JobsWord::Cancel(_) | JobsWord::Prune(_))
    }
}

pub(crate) fn cmd_jobs(context: &mut Context, args: &JobsArgs) -> Result<Ending, CliError> {
    match &args.word {
        JobsWord::List(request) => operate(context, request),
        JobsWord::Show(request) => operate(context, request),
        JobsWord::Output(args) => output(context, args),
        JobsWord::Cancel(request) => operate(context, request),
        JobsWord::Prune(args) => prune(context, args),
        JobsWord::Status(request) => operate(context, request),
        JobsWord::Log(args) => log(context, args),
        JobsWord::Sentinels(request) => operate(context, request),
        JobsWord::Failed(request) => operate(context, request),
        JobsWord::Metrics(request) => operate(context, request),
    }
}
