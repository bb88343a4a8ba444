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
    CancelJobs, FailedJobsRequest, JobLogRequest, JobMetricsRequest, JobsStatusRequest, ListJobs,
    PrintOutput, PruneJobs, SentinelsRequest, ShowJob,
};

use crate::command::jobs::output::output;
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
    Output(PrintOutput),
    Cancel(CancelJobs),
    Prune(PruneJobs),
    Status(JobsStatusRequest),
    Log(JobLogRequest),
    Sentinels(SentinelsRequest),
    Failed(FailedJobsRequest),
    Metrics(JobMetricsRequest),
}

pub(crate) fn cmd_jobs(context: &mut Context, args: &JobsArgs) -> Result<Ending, CliError> {
    match &args.word {
        JobsWord::List(request) => operate(context, request),
        JobsWord::Show(request) => operate(context, request),
        JobsWord::Output(request) => output(context, request),
        JobsWord::Cancel(request) => operate(context, request),
        JobsWord::Prune(request) => operate(context, request),
        JobsWord::Status(request) => operate(context, request),
        JobsWord::Log(request) => operate(context, request),
        JobsWord::Sentinels(request) => operate(context, request),
        JobsWord::Failed(request) => operate(context, request),
        JobsWord::Metrics(request) => operate(context, request),
    }
}
