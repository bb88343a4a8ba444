//! `jobs output ID [-f]`: what a job printed, byte for byte.

use std::time::Duration;

use clap::Args;
use recovery::jobs::Follower;
use recovery::operations::jobs::ids::find;
use recovery::operations::jobs::{OutputReport, ShowOutput, output_withheld, printed};
use recovery::queue::Queue;
use recovery::state::StateDir;

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::{Show, operate};
use crate::text::Text;

/// Bytes that are handed on at a time.
const PART: u64 = 1 << 20;
/// The longest time until new output of a live job is shown.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// [`ShowOutput`], and whether it goes on.
#[derive(Debug, Clone, Args)]
#[command(about = ABOUT, long_about = LONG_ABOUT)]
pub(crate) struct OutputArgs {
    #[command(flatten)]
    request: ShowOutput,
    /// Go on until the job has ended, over all its attempts, or until --attempt has
    #[arg(short, long)]
    follow: bool,
}

const ABOUT: &str = "Print what a job printed";
const LONG_ABOUT: &str = "Print what a job printed

The bytes as they are; only on a terminal control characters are shown instead of obeyed. With --json, at most the \
last 4 MiB.";

impl Show for ShowOutput {
    fn show(&self, _report: &OutputReport, _text: &mut Text) {}
}

pub(crate) fn output(context: &mut Context, args: &OutputArgs) -> Result<Ending, CliError> {
    if context.output.is_json() && !args.follow {
        return operate(context, &args.request);
    }
    if !context.shows_output() {
        return Err(output_withheld());
    }
    let dir = context.state_dir()?;
    let mut queue = Queue::open_to_look(&dir)?;
    let job = find(queue.state(), &args.request.id)?;
    // What is the last one now is followed, whatever comes after it.
    let request = ShowOutput { id: job.id.to_string(), ..args.request.clone() };
    let attempt = request.attempt_of(job, args.follow)?;
    let mut follower = Follower::new(attempt);
    if context.output.is_json() {
        wait_for_the_end(context, &mut queue, &mut follower, &request)?;
        return operate(context, &ShowOutput { attempt: Some(follower.attempt()), ..request });
    }
    if let Some(tail) = request.tail {
        follower = Follower::at(attempt, printed(&dir, job, attempt)?.saturating_sub(tail.0));
    }
    let args = &OutputArgs { request, follow: args.follow };
    let copied = copy(context, &dir, &mut queue, &mut follower, args)?;
    if copied == 0 && !args.follow {
        context.output.note(&format!("attempt {attempt} of job {} has printed nothing", args.request.id));
    }
    Ok(Ending::Done)
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
        let Ok(job) = find(queue.state(), &args.request.id) else { return Ok(copied) };
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
        if is_over && (!args.follow || args.request.attempt.is_some() || !follower.next_attempt(job)) {
            return Ok(copied);
        }
        if is_over {
            context.output.note(&format!("attempt {} of job {}", follower.attempt(), args.request.id));
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
    request: &ShowOutput,
) -> Result<(), CliError> {
    loop {
        if let Some(sent_away) = context.interruption.sent_away() {
            return Err(sent_away);
        }
        if context.output.reader_is_gone() {
            return Ok(());
        }
        let job = find(queue.state(), &request.id)?;
        if !follower.is_over(job) {
            queue.wait(LOOK_EVERY);
            queue.refresh()?;
        } else if request.attempt.is_some() || !follower.next_attempt(job) {
            return Ok(());
        }
    }
}
