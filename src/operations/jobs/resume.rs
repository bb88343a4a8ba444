//! `resume JOB…`: the next attempt of jobs that are over.

use serde_json::{Map, Value, json};

use super::ids::find_to_change;
use crate::jobs::{self, Resumed, would_resume};
use crate::operations::prelude::*;
use crate::operations::settings::judging;
use crate::queue::{JobId, Queue, QueueState};
use crate::report::jobs::CheckpointFile;

/// Queue the next attempt of crashed, failed, timed-out or cancelled jobs
///
/// It continues from the job's checkpoint, if the job has saved one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct ResumeJobs {
    /// Which jobs
    #[arg(required = true, value_name = "JOB")]
    pub job_ids: Vec<String>,
    /// Begin anew, without the checkpoint
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
}

/// What became of each job.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ResumeAnswer")]
#[allow(missing_docs)] // The members are the published form.
pub struct ResumeReport {
    pub resumed: Vec<Resumed>,
    pub refused: Vec<RefusedResume>,
    pub dry_run: bool,
}

/// A job that stays as it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RefusedResume {
    pub job_id: String,
    /// `no-such-job`, `job-not-resumable`, `job-still-alive` or `job-liveness-unknown`.
    pub code: String,
    pub detail: String,
}

impl Operation for ResumeJobs {
    type Report = ResumeReport;

    const ENTRY: Entry = Entry::post(
        &["resume"],
        "/api/admin/recovery/jobs/resume",
        "Queues the next attempt of jobs that are over",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<ResumeReport>, OperationError> {
        let settings = judging(context);
        let dir = context.state_dir()?;
        let mut queue = Queue::open(&dir)?;
        let (mut ids, mut refused) = (Vec::new(), Vec::new());
        for text in &self.job_ids {
            match named(queue.state(), text) {
                Ok(id) => ids.push(id),
                Err(e) => refused.push(never_a_job(text, &e)),
            }
        }
        let dry_run = context.is_dry_run();
        let done = match dry_run {
            true => would_resume(&dir, &mut queue, &ids, self.fresh, &settings)?,
            false => jobs::resume(&dir, &mut queue, &ids, self.fresh, &settings)?,
        };
        refused.extend(done.refused.into_iter().map(|r| RefusedResume {
            job_id: r.job_id.to_string(),
            code: r.code.to_string(),
            detail: r.detail,
        }));
        ResumeReport { resumed: done.resumed, refused, dry_run }.judged()
    }

    /// The attempt that each job has come to.
    fn pin(&self, context: &mut Context<'_>) -> Value {
        let Ok(queue) = context.state_dir().and_then(|dir| context.queue_to_look(&dir)) else {
            return Value::Null;
        };
        let attempt = |id: &String| {
            let job = queue.state().get(&id.parse::<JobId>().ok()?)?;
            Some((id.clone(), Value::from(job.attempt)))
        };
        json!({ "attempts": self.job_ids.iter().filter_map(attempt).collect::<Map<_, _>>() })
    }

    /// The jobs that have come to a later attempt were resumed by this request's first try.
    fn run_pinned(
        &self,
        context: &mut Context<'_>,
        pinned: &Value,
        is_repeated: bool,
    ) -> Result<Done<ResumeReport>, OperationError> {
        if !is_repeated {
            return self.run(context);
        }
        let dir = context.state_dir()?;
        let queue = context.queue_to_look(&dir)?;
        let (mut done, mut rest) = (Vec::new(), Vec::new());
        for id in &self.job_ids {
            let before = pinned["attempts"][id].as_u64().and_then(|n| u32::try_from(n).ok());
            let job = id.parse::<JobId>().ok().and_then(|id| queue.state().get(&id));
            match job.zip(before).filter(|(job, before)| job.attempt > *before) {
                Some((job, before)) => {
                    let from_checkpoint = !self.fresh && CheckpointFile::of(&dir, job).is_some();
                    done.push(Resumed { job_id: job.id.clone(), attempt: before + 1, from_checkpoint });
                }
                None => rest.push(id.clone()),
            }
        }
        drop(queue);
        if rest.is_empty() {
            let dry_run = context.is_dry_run();
            return Ok(Done::all(ResumeReport { resumed: done, refused: Vec::new(), dry_run }));
        }
        let rest = ResumeJobs { job_ids: rest, fresh: self.fresh }.run(context);
        match rest {
            // What was done before counts as done.
            Ok(Done { mut report, ending }) => {
                report.resumed.splice(0..0, done);
                Ok(Done { report, ending })
            }
            Err(error) => Err(error),
        }
    }
}

/// The id that a text stands for. One that no job has is for the queue to refuse.
fn named(state: &QueueState, text: &str) -> Result<JobId, OperationError> {
    let of_no_job = |e| text.parse().map_err(|_| e);
    find_to_change(state, text).map_or_else(of_no_job, |job| Ok(job.id.clone()))
}

/// A text that is simply no job, or begins the ids of several.
fn never_a_job(text: &str, error: &OperationError) -> RefusedResume {
    let detail = match error.code_name() {
        "no-such-job" => "there is no such job".to_owned(),
        _ => error.message(),
    };
    RefusedResume { job_id: text.to_owned(), code: error.code_name().to_owned(), detail }
}

impl ResumeReport {
    /// Some resumed: done in part. None: the error says why, as far as it is the same for all.
    fn judged(self) -> Result<Done<ResumeReport>, OperationError> {
        let Some(first) = self.refused.first() else { return Ok(Done::all(self)) };
        if !self.resumed.is_empty() {
            return Ok(Done::complete_if(false, self));
        }
        let message = match self.refused.len() {
            1 => format!("job {} was not resumed: {}", first.job_id, first.detail),
            n => format!("none of {n} jobs was resumed"),
        };
        if self.refused.iter().any(|r| r.code != first.code) {
            let error = OperationError::new(ErrorKind::Failed, message).code("jobs-not-resumed");
            return Err(error.with_report(self));
        }
        let (kind, hint) = match first.code.as_str() {
            "no-such-job" => (ErrorKind::NotFound, "recoveryctl jobs list"),
            "job-still-alive" => (ErrorKind::Held, "recoveryctl jobs sentinels"),
            "job-liveness-unknown" => (ErrorKind::Refused, "recoveryctl jobs sentinels"),
            _ => (ErrorKind::Failed, "only crashed, failed, timed-out and cancelled jobs can be resumed"),
        };
        let code = first.code.clone();
        Err(OperationError::new(kind, message).code(code).hint(hint).with_report(self))
    }
}
