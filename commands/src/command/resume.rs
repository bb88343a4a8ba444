//! `resume JOB…`: the next attempt of jobs that are over.

use clap::Args;
use recovery::jobs::{ResumeReport, Resumed, resume, would_resume};
use recovery::queue::{JobId, Queue, QueueState};
use schemars::JsonSchema;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending, ErrorDocument, ErrorKind};
use crate::settings::judging;
use crate::text::Text;
use recovery::operations::jobs::ids::find_to_change;

/// Queue the next attempt of crashed, failed, timed-out or cancelled jobs
///
/// It continues from the job's checkpoint, if the job has saved one.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Which jobs
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<String>,
    /// Begin anew, without the checkpoint
    #[arg(long)]
    fresh: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ResumeAnswer {
    resumed: Vec<Resumed>,
    refused: Vec<Refused>,
    dry_run: bool,
    /// Over HTTP it is the problem that the answer is.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    error: Option<ErrorDocument>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RefusedResume")]
struct Refused {
    job_id: String,
    /// `no-such-job`, `job-not-resumable`, `job-still-alive` or `job-liveness-unknown`.
    code: &'static str,
    detail: String,
}

pub(crate) fn cmd_resume(context: &mut Context, args: &ResumeArgs) -> Result<Ending, CliError> {
    let settings = judging(&context.operation()?);
    let dir = context.state_dir()?;
    let mut queue = Queue::open(&dir)?;
    let found: Vec<_> = args.jobs.iter().map(|text| (text, named(queue.state(), text))).collect();
    let ids: Vec<JobId> = found.iter().filter_map(|(_, id)| id.as_ref().ok().cloned()).collect();
    let never = found.into_iter().filter_map(|(text, id)| Some((text, id.err()?)));
    let never: Vec<Refused> = never.map(|(text, e)| never_a_job(text, &e)).collect();
    let dry_run = context.is_dry_run();
    let ResumeReport { resumed, refused } = match dry_run {
        true => would_resume(&dir, &mut queue, &ids, args.fresh, &settings)?,
        false => resume(&dir, &mut queue, &ids, args.fresh, &settings)?,
    };
    let mut answer = ResumeAnswer { resumed, refused: never, dry_run, error: None };
    answer.refused.extend(refused.into_iter().map(|r| Refused {
        job_id: r.job_id.to_string(),
        code: r.code,
        detail: r.detail,
    }));
    let ending = judge(&answer);
    answer.error = ending.as_ref().err().map(CliError::document);
    context.output.report(&answer, |text| render(text, &answer));
    if !context.output.is_json() && (ending.is_ok() || answer.refused.len() > 1) {
        for refused in &answer.refused {
            context.output.warning(&format!("job {}: {}", refused.job_id, refused.detail));
        }
    }
    ending
}

/// The id that a text stands for. One that no job has is for the queue to refuse.
fn named(state: &QueueState, text: &str) -> Result<JobId, CliError> {
    let of_no_job = |e| text.parse().map_err(|_| e);
    find_to_change(state, text).map_or_else(of_no_job, |job| Ok(job.id.clone()))
}

/// A text that is simply no job, or begins the ids of several.
fn never_a_job(text: &str, error: &CliError) -> Refused {
    let detail = match error.code_name() {
        "no-such-job" => "there is no such job".to_owned(),
        _ => error.message(),
    };
    Refused { job_id: text.to_owned(), code: error.code_name(), detail }
}

/// Some resumed: done in part. None: the status says why, as far as it is the same for all.
fn judge(answer: &ResumeAnswer) -> Result<Ending, CliError> {
    let Some(first) = answer.refused.first() else { return Ok(Ending::Done) };
    if !answer.resumed.is_empty() {
        return Ok(Ending::Degraded);
    }
    let message = match answer.refused.len() {
        1 => format!("job {} was not resumed: {}", first.job_id, first.detail),
        n => format!("none of {n} jobs was resumed"),
    };
    if answer.refused.iter().any(|r| r.code != first.code) {
        return Err(CliError::new(ErrorKind::Failed, message).code("jobs-not-resumed"));
    }
    let (kind, hint) = match first.code {
        "no-such-job" => (ErrorKind::NotFound, "recoveryctl jobs list"),
        "job-still-alive" => (ErrorKind::Held, "recoveryctl jobs sentinels"),
        "job-liveness-unknown" => (ErrorKind::Refused, "recoveryctl jobs sentinels"),
        _ => (ErrorKind::Failed, "only crashed, failed, timed-out and cancelled jobs can be resumed"),
    };
    Err(CliError::new(kind, message).code(first.code).hint(hint))
}

fn render(text: &mut Text, answer: &ResumeAnswer) {
    let act = if answer.dry_run { "would be queued again" } else { "queued again" };
    for job in &answer.resumed {
        let from = if job.from_checkpoint { "from its checkpoint" } else { "from the start" };
        text.line(format!("{}: {act}, attempt {}, {from}", job.job_id, job.attempt));
    }
}
