//! `jobs output ID [-f]`: what a job printed, byte for byte.

use std::time::Duration;

use clap::Args;
use recovery::jobs::Output as JobOutput;
use recovery::queue::{Job, Queue};
use recovery::state::names::BadName;
use recovery::state::{StateDir, parse_size};
use serde::Serialize;

use super::jobs::{find, no_such_job};
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::output::Output;

/// Bytes that are handed on at a time.
const PART: u64 = 1 << 20;
/// The longest time until new output of a live job is shown.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Print what a job printed
///
/// The bytes as they are; only on a terminal control characters are shown instead of obeyed.
#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// The job's id
    #[arg(value_name = "ID")]
    id: String,
    /// Of an earlier attempt [default: the last]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// Only the last bytes, such as 64KiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    tail: Option<u64>,
    /// Go on until the job has ended
    #[arg(short, long)]
    follow: bool,
}

#[derive(Debug, Serialize)]
struct OutputReport {
    job_id: String,
    attempt: u32,
    /// How many bytes the attempt printed in all.
    bytes: u64,
    /// Whether `output` is only the end of it.
    truncated: bool,
    /// Bytes that are no UTF-8 are replaced.
    output: String,
}

pub(super) fn output(context: &mut Context, args: &OutputArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let mut queue = context.queue_to_look(&dir)?;
    let job = find(queue.state(), &args.id)?;
    let attempt = attempt_of(job, args)?;
    if context.output.is_json() {
        return document(context, &dir, &mut queue, args, attempt);
    }
    let mut reader = Reader { dir: &dir, id: &args.id, attempt, offset: 0 };
    if let Some(tail) = args.tail {
        reader.offset = reader.len(job)?.saturating_sub(tail);
    }
    let printed = copy(&mut context.output, &mut queue, &mut reader, args.follow)?;
    if printed == 0 && !args.follow {
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

/// Whether nothing will be printed by this attempt any more.
fn is_over(job: &Job, attempt: u32) -> bool {
    job.status.is_over() || job.attempt > attempt
}

/// An attempt's output, and how far it was read.
struct Reader<'a> {
    dir: &'a StateDir,
    id: &'a str,
    attempt: u32,
    offset: u64,
}

impl Reader<'_> {
    /// The file moves when the next attempt begins, so it is looked for anew.
    fn file(&self, job: &Job) -> Result<JobOutput, CliError> {
        JobOutput::of(self.dir, job, Some(self.attempt)).map_err(|_: BadName| no_such_job(self.id))
    }

    fn len(&self, job: &Job) -> Result<u64, CliError> {
        match self.file(job)?.len() {
            Err(e) if e.is_not_found() => Ok(0),
            other => Ok(other?),
        }
    }

    /// What is new, at most a part; empty when nothing is.
    fn next(&mut self, job: &Job) -> Result<Vec<u8>, CliError> {
        let bytes = match self.file(job)?.read_from(self.offset, PART) {
            Err(e) if e.is_not_found() => Vec::new(),
            other => other?,
        };
        self.offset += bytes.len() as u64;
        Ok(bytes)
    }
}

/// Hands the output on, to its present end or to the job's; how many bytes it was.
fn copy(
    output: &mut Output,
    queue: &mut Queue,
    reader: &mut Reader<'_>,
    follow: bool,
) -> Result<u64, CliError> {
    let mut printed = 0;
    loop {
        // Looked at before reading: what was printed before the end is read after it was seen.
        let last_look = !follow || is_over(find(queue.state(), reader.id)?, reader.attempt);
        loop {
            let bytes = reader.next(find(queue.state(), reader.id)?)?;
            if bytes.is_empty() {
                break;
            }
            printed += bytes.len() as u64;
            output.foreign_bytes(&bytes);
            if !output.flush() {
                return Ok(printed); // The reader of ours has seen enough.
            }
        }
        if last_look {
            return Ok(printed);
        }
        queue.wait(LOOK_EVERY);
        queue.refresh()?;
    }
}

fn document(
    context: &mut Context,
    dir: &StateDir,
    queue: &mut Queue,
    args: &OutputArgs,
    attempt: u32,
) -> Result<Ending, CliError> {
    while args.follow && !is_over(find(queue.state(), &args.id)?, attempt) {
        queue.wait(LOOK_EVERY);
        queue.refresh()?;
    }
    let job = find(queue.state(), &args.id)?;
    let reader = Reader { dir, id: &args.id, attempt, offset: 0 };
    let bytes = reader.len(job)?;
    let tail = args.tail.unwrap_or(u64::MAX);
    let output = reader.file(job)?.tail(tail)?;
    let report = OutputReport { job_id: job.id.to_string(), attempt, bytes, truncated: tail < bytes, output };
    context.output.report(&report, |_| {});
    Ok(Ending::Done)
}
