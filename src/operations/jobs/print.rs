//! `jobs output ID [-f]`: what a job printed, byte for byte, as it comes.

use std::time::Duration;

use super::ids::find;
use super::output::{ShowOutput, output_withheld, printed};
use crate::jobs::Follower;
use crate::operations::prelude::*;
use crate::queue::Queue;
use crate::state::StateDir;

/// Bytes that are handed on at a time.
const PART: u64 = 1 << 20;
/// The longest time until new output of a live job is shown.
const LOOK_EVERY: Duration = Duration::from_millis(100);

const ABOUT: &str = "Print what a job printed";
const LONG_ABOUT: &str = "Print what a job printed

The bytes as they are; only on a terminal control characters are shown instead of obeyed. With --json, at most the \
last 4 MiB.";

/// What a job printed, as it comes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(about = ABOUT, long_about = LONG_ABOUT)]
pub struct PrintOutput {
    /// Of which job
    #[command(flatten)]
    #[serde(flatten)]
    pub request: ShowOutput,
    /// Go on until the job has ended, over all its attempts, or until --attempt has
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
}

/// Of what was printed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form.
pub struct Printed {
    pub job_id: String,
    /// The last one that was printed.
    pub attempt: u32,
    /// How many bytes were printed.
    pub bytes: u64,
}

impl Operation for PrintOutput {
    type Report = Printed;

    const ENTRY: Entry = Entry::local(Method::Get, &["jobs", "output", "--follow"]);

    /// Where results are not shown as they come, it only waits.
    fn run(&self, context: &mut Context<'_>) -> Result<Done<Printed>, OperationError> {
        if !context.shows_output() {
            return Err(output_withheld());
        }
        let dir = context.state_dir()?;
        let mut queue = Queue::open_to_look(&dir)?;
        let job = find(queue.state(), &self.request.id)?;
        // What is the last one now is followed, whatever comes after it.
        let request = ShowOutput { id: job.id.to_string(), ..self.request.clone() };
        let job_id = request.id.clone();
        let attempt = request.attempt_of(job, self.follow)?;
        let mut follower = Follower::new(attempt);
        if let Some(tail) = request.tail {
            follower = Follower::at(attempt, printed(&dir, job, attempt)?.saturating_sub(tail.0));
        }
        let print = PrintOutput { request, follow: self.follow };
        let bytes = print.copy(context, &dir, &mut queue, &mut follower)?;
        if bytes == 0 && !self.follow {
            context.note(&format!("attempt {attempt} of job {} has printed nothing", self.request.id));
        }
        Ok(Done::all(Printed { job_id, attempt: follower.attempt(), bytes }))
    }
}

impl PrintOutput {
    /// Hands the output on, to its present end or, following, to the end of the job, or of the attempt that was
    /// asked for; how many bytes it was.
    fn copy(
        &self,
        context: &mut Context<'_>,
        dir: &StateDir,
        queue: &mut Queue,
        follower: &mut Follower,
    ) -> Result<u64, OperationError> {
        let mut copied = 0;
        loop {
            // A job that was removed meanwhile is over, and its output with it.
            let Ok(job) = find(queue.state(), &self.request.id) else { return Ok(copied) };
            // Looked at before reading: what was printed before the end is read after it was seen.
            let is_over = !self.follow || follower.is_over(job);
            while context.is_streamed() {
                let bytes = follower.read(dir, job, PART)?;
                if bytes.is_empty() {
                    break;
                }
                copied += bytes.len() as u64;
                context.front().print_foreign(&bytes);
                if !context.front().flush() {
                    return Ok(copied);
                }
                if let Some(sent_away) = context.front().sent_away() {
                    return Err(sent_away);
                }
            }
            let goes_on = || self.follow && self.request.attempt.is_none();
            if is_over && (!goes_on() || !follower.next_attempt(job)) {
                return Ok(copied);
            }
            if is_over {
                if context.is_streamed() {
                    context.note(&format!("attempt {} of job {}", follower.attempt(), self.request.id));
                }
                continue;
            }
            if let Some(sent_away) = context.front().sent_away() {
                return Err(sent_away);
            }
            if context.front().is_unread() {
                return Ok(copied);
            }
            queue.wait(LOOK_EVERY);
            queue.refresh()?;
        }
    }
}
