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
use recovery::operations::jobs::ListJobs;

use crate::command::jobs::cancel::{CancelArgs, cancel};
use crate::command::jobs::failed::failed;
use crate::command::jobs::log::{LogArgs, log};
use crate::command::jobs::metrics::metrics;
use crate::command::jobs::output::{OutputArgs, output};
use crate::command::jobs::prune::{PruneArgs, prune};
use crate::command::jobs::sentinels::sentinels;
use crate::command::jobs::show::{ShowArgs, show};
use crate::command::jobs::status::status;
use crate::command::page::PageArgs;
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
    Show(ShowArgs),
    Output(OutputArgs),
    Cancel(CancelArgs),
    Prune(PruneArgs),
    /// Show the running jobs, and what the last recovery made of those that were running
    Status(PageArgs),
    Log(LogArgs),
    /// Show every sentinel, and whether what it says is true
    Sentinels(PageArgs),
    /// Show the jobs that failed, timed out or crashed
    Failed(PageArgs),
    /// Show figures about re-attachment
    Metrics,
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
        JobsWord::Show(args) => show(context, args),
        JobsWord::Output(args) => output(context, args),
        JobsWord::Cancel(args) => cancel(context, args),
        JobsWord::Prune(args) => prune(context, args),
        JobsWord::Status(page) => status(context, page),
        JobsWord::Log(args) => log(context, args),
        JobsWord::Sentinels(page) => sentinels(context, page),
        JobsWord::Failed(page) => failed(context, page),
        JobsWord::Metrics => metrics(context),
    }
}
