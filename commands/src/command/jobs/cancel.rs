//! `jobs cancel ID…`: queued jobs are over at once, running ones are ended.

use std::collections::BTreeMap;

use clap::Args;
use recovery::jobs::{self, CancelOutcome, Cancellation};
use recovery::queue::{JobId, Queue};
use schemars::JsonSchema;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending, ErrorDocument, ErrorKind};
use crate::settings::judging;
use crate::text::Text;
use recovery::operations::jobs::ids::{find_to_change, no_such_job};

/// Cancel jobs: queued ones are over at once, running ones are ended
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The jobs' ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CancelReport {
    cancelled: Vec<Cancelled>,
    refused: Vec<Refused>,
    dry_run: bool,
    /// Over HTTP it is the problem that the answer is.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    error: Option<ErrorDocument>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CancelledJob")]
struct Cancelled {
    job_id: String,
    /// `cancelled`, `end_requested`, `ended`, `was_over` or `recorded`.
    outcome: &'static str,
    detail: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RefusedCancel")]
struct Refused {
    job_id: String,
    code: &'static str,
    detail: String,
}

pub(crate) fn cancel(context: &mut Context, args: &CancelArgs) -> Result<Ending, CliError> {
    let settings = judging(&context.operation()?);
    let dir = context.state_dir()?;
    let mut queue = Queue::open(&dir)?;
    let dry_run = context.is_dry_run();
    let mut report = CancelReport { cancelled: Vec::new(), refused: Vec::new(), dry_run, error: None };
    let ids = known(&queue, args, &mut report);
    if dry_run {
        ids.iter().for_each(|id| rehearse(&queue, id, &mut report));
    } else {
        if let Some(own) = ids.iter().find(|id| context.runs_inside_job(&dir, id)) {
            context
                .output
                .note(&format!("job {own} is the one that this command runs inside: it ends itself"));
        }
        let done = jobs::cancel(&dir, &mut queue, &ids, &settings)?;
        done.into_iter().for_each(|cancellation| enter(&mut report, cancellation));
    }
    let ending = judge(&report);
    report.error = ending.as_ref().err().map(CliError::document);
    context.output.report(&report, |text| render(text, &report));
    if !context.output.is_json() && ending.is_ok() {
        for refused in &report.refused {
            context.output.warning(&format!("job {}: {}", refused.job_id, refused.detail));
        }
    }
    ending
}

/// Each id once; a text that no job has is refused and never becomes a path.
fn known(queue: &Queue, args: &CancelArgs, report: &mut CancelReport) -> Vec<JobId> {
    let mut ids: Vec<JobId> = Vec::new();
    let mut unknown: BTreeMap<&str, CliError> = BTreeMap::new();
    for text in &args.ids {
        match find_to_change(queue.state(), text) {
            Ok(job) if ids.contains(&job.id) => {}
            Ok(job) => ids.push(job.id.clone()),
            Err(e) => {
                unknown.insert(text, e);
            }
        }
    }
    let refuse = |(text, error): (&str, CliError)| Refused {
        job_id: text.to_owned(),
        code: error.code_name(),
        detail: match error.code_name() {
            "no-such-job" => "there is no such job".to_owned(),
            _ => error.message(),
        },
    };
    report.refused.extend(unknown.into_iter().map(refuse));
    ids
}

fn rehearse(queue: &Queue, id: &JobId, report: &mut CancelReport) {
    let Some(job) = queue.state().get(id) else { return };
    let job_id = id.to_string();
    if job.status.is_over() {
        let detail = format!("it {}", job.status.said());
        report.refused.push(Refused { job_id, code: "job-is-over", detail });
        return;
    }
    let detail = format!("it is {} and would be cancelled", job.status);
    report.cancelled.push(Cancelled { job_id, outcome: "would_cancel", detail });
}

fn enter(report: &mut CancelReport, cancellation: Cancellation) {
    let job_id = cancellation.job_id.to_string();
    let (outcome, detail) = match cancellation.outcome {
        CancelOutcome::Refused { code, detail } => {
            report.refused.push(Refused { job_id, code, detail });
            return;
        }
        CancelOutcome::Cancelled => ("cancelled", "it waited, and is cancelled".to_owned()),
        CancelOutcome::EndRequested { supervisor } => {
            ("end_requested", format!("it runs; its supervisor (process {supervisor}) ends it"))
        }
        CancelOutcome::Ended => ("ended", "it ran without a supervisor, and was ended".to_owned()),
        CancelOutcome::WasOver => ("was_over", "it had already ended, which is recorded now".to_owned()),
        CancelOutcome::Recorded { why } => {
            let detail =
                format!("the cancel is recorded and will be carried out; it could not be told now: {why}");
            ("recorded", detail)
        }
    };
    report.cancelled.push(Cancelled { job_id, outcome, detail });
}

fn judge(report: &CancelReport) -> Result<Ending, CliError> {
    let Some(first) = report.refused.first() else { return Ok(Ending::Done) };
    if !report.cancelled.is_empty() {
        return Ok(Ending::Degraded);
    }
    if report.refused.iter().all(|r| r.code == "no-such-job") {
        return Err(no_such_job(&first.job_id));
    }
    let refused = report.refused.iter().find(|r| r.code != "no-such-job").unwrap_or(first);
    let message = format!("job {} cannot be cancelled: {}", refused.job_id, refused.detail);
    Err(CliError::new(ErrorKind::Failed, message).code("job-is-over"))
}

fn render(text: &mut Text, report: &CancelReport) {
    for job in &report.cancelled {
        text.line(format!("{}: {}", job.job_id, job.detail));
    }
}
