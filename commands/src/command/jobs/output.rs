//! `jobs output ID [-f]`: what a job printed, byte for byte.

use std::time::Duration;

use clap::Args;
use recovery::jobs::{Follower, Output as JobOutput};
use recovery::queue::{Job, Queue};
use recovery::state::names::BadName;
use recovery::state::{StateDir, parse_size};
use schemars::JsonSchema;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use recovery::operations::jobs::ids::{find, no_such_job};

/// Bytes that are handed on at a time.
const PART: u64 = 1 << 20;
/// A document has no more of an output than its end of this length, in bytes: it is in memory as a whole.
const LONGEST_DOCUMENT: u64 = 4 << 20;
/// The longest time until new output of a live job is shown.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Print what a job printed
///
/// The bytes as they are; only on a terminal control characters are shown instead of obeyed. With --json, at most the
/// last 4 MiB.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArgs {
    /// The job: its id, the beginning of one, @last or @last-failed
    #[arg(value_name = "ID")]
    id: String,
    /// Of an earlier attempt [default: the last]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// Only the last bytes, such as 64KiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    tail: Option<u64>,
    /// Go on until the job has ended, over all its attempts, or until --attempt has
    #[arg(short, long)]
    follow: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobOutput")]
pub(crate) struct OutputReport {
    job_id: String,
    attempt: u32,
    /// How many bytes the attempt printed in all.
    bytes: u64,
    /// Whether `output` is only the end of it: it is at most the last 4 MiB.
    truncated: bool,
    /// Bytes that are no UTF-8 are replaced.
    output: String,
}

/// To a client of the daemon that may look, and not at this.
pub(crate) fn output_withheld() -> CliError {
    let message =
        "what jobs print is not shown to viewers: daemon.viewer_output of the configuration is false";
    CliError::new(ErrorKind::NotAuthorised, message)
        .code("output-not-for-viewers")
        .hint("show the token in daemon/admin.token, or set viewer_output = true in the table [daemon]")
}

pub(crate) fn output(context: &mut Context, args: &OutputArgs) -> Result<Ending, CliError> {
    if !context.shows_output() {
        return Err(output_withheld());
    }
    let dir = context.state_dir()?;
    let mut queue = Queue::open_to_look(&dir)?;
    let job = find(queue.state(), &args.id)?;
    // What is the last one now is followed, whatever comes after it.
    let args = &OutputArgs { id: job.id.to_string(), ..args.clone() };
    let attempt = attempt_of(job, args)?;
    if context.output.is_json() {
        return document(context, &dir, &mut queue, args, attempt);
    }
    let mut follower = Follower::new(attempt);
    if let Some(tail) = args.tail {
        follower = Follower::at(attempt, printed(&dir, job, attempt)?.saturating_sub(tail));
    }
    let copied = copy(context, &dir, &mut queue, &mut follower, args)?;
    if copied == 0 && !args.follow {
        context.output.note(&format!("attempt {attempt} of job {} has printed nothing", args.id));
    }
    Ok(Ending::Done)
}

/// The attempt that was asked for: the last one that was begun, unless another was named.
fn attempt_of(job: &Job, args: &OutputArgs) -> Result<u32, CliError> {
    match args.attempt {
        Some(attempt) if attempt > job.attempt => {
            let message = format!("job {} has no attempt {attempt}; it has come to {}", args.id, job.attempt);
            Err(CliError::new(ErrorKind::NotFound, message).code("no-such-attempt"))
        }
        Some(attempt) => Ok(attempt),
        // While the next attempt waits, what is there is the one before. A follower wants the next.
        None if !args.follow && is_waiting(job) && job.attempt > 1 => Ok(job.attempt - 1),
        None => Ok(job.attempt),
    }
}

fn is_waiting(job: &Job) -> bool {
    job.status == recovery::queue::JobStatus::Queued
}

/// How much an attempt has printed.
fn printed(dir: &StateDir, job: &Job, attempt: u32) -> Result<u64, CliError> {
    match file_of(dir, job, attempt)?.len() {
        Err(e) if e.is_not_found() => Ok(0),
        other => Ok(other?),
    }
}

fn file_of(dir: &StateDir, job: &Job, attempt: u32) -> Result<JobOutput, CliError> {
    JobOutput::of(dir, job, Some(attempt)).map_err(|_: BadName| no_such_job(&job.id.to_string()))
}

/// Hands the output on, to its present end or, following, to the end of the job, or of the attempt that was
/// asked for; how many bytes it was.
fn copy(
    context: &mut Context,
    dir: &StateDir,
    queue: &mut Queue,
    follower: &mut Follower,
    args: &OutputArgs,
) -> Result<u64, CliError> {
    let mut copied = 0;
    loop {
        // A job that was removed meanwhile is over, and its output with it.
        let Ok(job) = find(queue.state(), &args.id) else { return Ok(copied) };
        // Looked at before reading: what was printed before the end is read after it was seen.
        let is_over = !args.follow || follower.is_over(job);
        loop {
            let bytes = follower.read(dir, job, PART)?;
            if bytes.is_empty() {
                break;
            }
            copied += bytes.len() as u64;
            context.output.foreign_bytes(&bytes);
            if !context.output.flush() {
                return Ok(copied); // The reader of ours has seen enough.
            }
        }
        if is_over && (!args.follow || args.attempt.is_some() || !follower.next_attempt(job)) {
            return Ok(copied);
        }
        if is_over {
            context.output.note(&format!("attempt {} of job {}", follower.attempt(), args.id));
            continue;
        }
        if let Some(sent_away) = context.interruption.sent_away() {
            return Err(sent_away);
        }
        if context.output.reader_is_gone() {
            return Ok(copied);
        }
        queue.wait(LOOK_EVERY);
        queue.refresh()?;
    }
}

fn wait_for_the_end(
    context: &Context,
    queue: &mut Queue,
    follower: &mut Follower,
    args: &OutputArgs,
) -> Result<(), CliError> {
    loop {
        if let Some(sent_away) = context.interruption.sent_away() {
            return Err(sent_away);
        }
        if context.output.reader_is_gone() {
            return Ok(());
        }
        let job = find(queue.state(), &args.id)?;
        if !follower.is_over(job) {
            queue.wait(LOOK_EVERY);
            queue.refresh()?;
        } else if args.attempt.is_some() || !follower.next_attempt(job) {
            return Ok(());
        }
    }
}

fn document(
    context: &mut Context,
    dir: &StateDir,
    queue: &mut Queue,
    args: &OutputArgs,
    attempt: u32,
) -> Result<Ending, CliError> {
    let mut follower = Follower::new(attempt);
    if args.follow {
        wait_for_the_end(context, queue, &mut follower, args)?;
    }
    let (job, attempt) = (find(queue.state(), &args.id)?, follower.attempt());
    let bytes = printed(dir, job, attempt)?;
    let tail = args.tail.unwrap_or(u64::MAX).min(LONGEST_DOCUMENT);
    let output = file_of(dir, job, attempt)?.tail(tail)?;
    let report = OutputReport { job_id: job.id.to_string(), attempt, bytes, truncated: tail < bytes, output };
    context.output.report(&report, |_| {});
    Ok(Ending::Done)
}
