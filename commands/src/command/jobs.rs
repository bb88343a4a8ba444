//! `jobs …`: what the words have in common.

use clap::{Args, Subcommand};
use recovery::queue::JobStatus;
use recovery::report::page::{BadCursor, Page};

use super::jobs_cancel::{CancelArgs, cancel};
use super::jobs_failed::failed;
use super::jobs_list::{ListArgs, list};
use super::jobs_metrics::metrics;
use super::jobs_output::{OutputArgs, output};
use super::jobs_prune::{PruneArgs, prune};
use super::jobs_sentinels::sentinels;
use super::jobs_show::{ShowArgs, show};
use super::jobs_status::status;
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::paint::Tone;

/// List, show, cancel and remove jobs, and read what they printed
#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    #[command(subcommand)]
    word: JobsWord,
}

#[derive(Debug, Subcommand)]
enum JobsWord {
    List(ListArgs),
    Show(ShowArgs),
    Output(OutputArgs),
    Cancel(CancelArgs),
    Prune(PruneArgs),
    /// Show the running jobs, and what the last recovery made of those that were running
    Status(PageArgs),
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
        JobsWord::List(args) => list(context, args),
        JobsWord::Show(args) => show(context, args),
        JobsWord::Output(args) => output(context, args),
        JobsWord::Cancel(args) => cancel(context, args),
        JobsWord::Prune(args) => prune(context, args),
        JobsWord::Status(page) => status(context, page),
        JobsWord::Sentinels(page) => sentinels(context, page),
        JobsWord::Failed(page) => failed(context, page),
        JobsWord::Metrics => metrics(context),
    }
}

/// Which part of a list.
#[derive(Debug, Args)]
pub(super) struct PageArgs {
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Where the last page ended, as it said
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// In the opposite order
    #[arg(long)]
    reverse: bool,
}

impl PageArgs {
    pub(super) fn page(&self) -> Page {
        let limit = self.limit.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        Page { limit, cursor: self.cursor.clone(), reverse: self.reverse }
    }
}

impl From<BadCursor> for CliError {
    fn from(error: BadCursor) -> CliError {
        CliError::new(ErrorKind::Usage, error)
            .code("bad-cursor")
            .hint("take next_cursor from the page before, or leave --cursor out to begin anew")
    }
}

/// The tone of a status.
pub(super) fn tone_of(status: JobStatus) -> Tone {
    match status {
        JobStatus::Queued => Tone::Plain,
        JobStatus::Running => Tone::Strong,
        JobStatus::Succeeded => Tone::Good,
        JobStatus::Cancelled => Tone::Faint,
        JobStatus::Failed | JobStatus::TimedOut => Tone::Bad,
        JobStatus::Crashed => Tone::Warning,
    }
}

/// The status of a word of ours.
pub(super) fn status_of(word: &str) -> Option<JobStatus> {
    JobStatus::ALL.iter().copied().find(|s| s.as_str() == word)
}
