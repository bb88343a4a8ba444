//! `jobs cancel ID…`: queued jobs are over at once, running ones are ended.

use super::ids::{find_to_change, no_such_job};
use crate::jobs::{self, CancelOutcome, Cancellation};
use crate::operations::arguments::one_or_many;
use crate::operations::prelude::*;
use crate::operations::settings::judging;
use crate::queue::{JobId, Queue};

/// Cancel jobs: queued ones are over at once, running ones are ended
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct CancelJobs {
    /// The jobs' ids
    #[arg(id = "id", value_name = "ID", required = true)]
    #[serde(rename = "id", deserialize_with = "one_or_many")]
    #[schemars(with = "String", length(min = 1))]
    pub ids: Vec<String>,
}

/// What became of each job.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form.
pub struct CancelReport {
    pub cancelled: Vec<CancelledJob>,
    pub refused: Vec<RefusedCancel>,
    pub dry_run: bool,
}

/// A job that is over, or will be.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct CancelledJob {
    pub job_id: String,
    /// `cancelled`, `end_requested`, `ended`, `was_over`, `recorded` or, in a dry run, `would_cancel`.
    pub outcome: String,
    pub detail: String,
}

/// A job that stays as it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RefusedCancel {
    pub job_id: String,
    pub code: String,
    pub detail: String,
}

impl Operation for CancelJobs {
    type Report = CancelReport;

    const ENTRY: Entry = Entry::post(&["jobs", "cancel"], "/api/jobs/{id}/cancel", "Cancels a job");

    fn run(&self, context: &mut Context<'_>) -> Result<Done<CancelReport>, OperationError> {
        let settings = judging(context);
        let dir = context.state_dir()?;
        let mut queue = Queue::open(&dir)?;
        let dry_run = context.is_dry_run();
        let mut report = CancelReport { cancelled: Vec::new(), refused: Vec::new(), dry_run };
        let (ids, unknown) = self.known(&queue);
        if dry_run {
            ids.iter().for_each(|id| report.rehearse(&queue, id));
        } else {
            if let Some(own) = ids.iter().find(|id| context.runs_inside_job(&dir, id)) {
                context.note(&format!("job {own} is the one that this command runs inside: it ends itself"));
            }
            let done = jobs::cancel(&dir, &mut queue, &ids, &settings)?;
            done.into_iter().for_each(|cancellation| report.enter(cancellation));
        }
        report.refused.extend(unknown);
        report.judged()
    }
}

impl CancelJobs {
    /// Each id once, and the texts that no job has: these never become a path.
    fn known(&self, queue: &Queue) -> (Vec<JobId>, Vec<RefusedCancel>) {
        let (mut ids, mut unknown): (Vec<JobId>, Vec<RefusedCancel>) = (Vec::new(), Vec::new());
        for text in &self.ids {
            match find_to_change(queue.state(), text) {
                Ok(job) if ids.contains(&job.id) => {}
                Ok(job) => ids.push(job.id.clone()),
                Err(_) if unknown.iter().any(|refused| refused.job_id == *text) => {}
                Err(error) => {
                    let detail = match error.code_name() {
                        "no-such-job" => "there is no such job".to_owned(),
                        _ => error.message(),
                    };
                    let code = error.code_name().to_owned();
                    unknown.push(RefusedCancel { job_id: text.to_owned(), code, detail });
                }
            }
        }
        (ids, unknown)
    }
}

impl CancelReport {
    fn rehearse(&mut self, queue: &Queue, id: &JobId) {
        let Some(job) = queue.state().get(id) else { return };
        let job_id = id.to_string();
        if job.status.is_over() {
            let (code, detail) = ("job-is-over".to_owned(), format!("it {}", job.status.said()));
            self.refused.push(RefusedCancel { job_id, code, detail });
            return;
        }
        let detail = format!("it is {} and would be cancelled", job.status);
        self.cancelled.push(CancelledJob { job_id, outcome: "would_cancel".to_owned(), detail });
    }

    fn enter(&mut self, cancellation: Cancellation) {
        let job_id = cancellation.job_id.to_string();
        let (outcome, detail) = match cancellation.outcome {
            CancelOutcome::Refused { code, detail } => {
                self.refused.push(RefusedCancel { job_id, code: code.to_owned(), detail });
                return;
            }
            CancelOutcome::Cancelled => ("cancelled", "it waited, and is cancelled".to_owned()),
            CancelOutcome::EndRequested { supervisor } => {
                ("end_requested", format!("it runs; its supervisor (process {supervisor}) ends it"))
            }
            CancelOutcome::Ended => ("ended", "it ran without a supervisor, and was ended".to_owned()),
            CancelOutcome::WasOver => ("was_over", "it had already ended, which is recorded now".to_owned()),
            CancelOutcome::Recorded { why } => (
                "recorded",
                format!("the cancel is recorded and will be carried out; it could not be told now: {why}"),
            ),
        };
        self.cancelled.push(CancelledJob { job_id, outcome: outcome.to_owned(), detail });
    }

    /// Some cancelled: done in part. None: the error says why.
    fn judged(self) -> Result<Done<CancelReport>, OperationError> {
        let Some(first) = self.refused.first() else { return Ok(Done::all(self)) };
        if !self.cancelled.is_empty() {
            return Ok(Done::complete_if(false, self));
        }
        if self.refused.iter().all(|r| r.code == "no-such-job") {
            return Err(no_such_job(&first.job_id).with_report(self));
        }
        let refused = self.refused.iter().find(|r| r.code != "no-such-job").unwrap_or(first);
        let message = format!("job {} cannot be cancelled: {}", refused.job_id, refused.detail);
        Err(OperationError::new(ErrorKind::Failed, message).code("job-is-over").with_report(self))
    }
}
