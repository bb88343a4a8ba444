//! `cleanup start`: asks for the cleanup of jobs that are over.

use crate::audit::{Entry as AuditEntry, Trail};
use crate::cleanup::{CleanupRequest, Created, KnownCleanups, Source, create_beside};
use crate::findings::Object;
use crate::operations::jobs::ids::find_to_change;
use crate::operations::prelude::*;
use crate::queue::{JobId, JobStatus, Queue};

/// Ask for the cleanup of jobs that are over; a daemon, or 'cleanup run', does it
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct StartCleanups {
    /// The jobs
    #[arg(required = true, value_name = "JOB")]
    pub job_ids: Vec<String>,
}

/// What became of each job's cleanup.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CleanupStart")]
#[allow(missing_docs)] // The members are the published form.
pub struct StartReport {
    pub started: Vec<StartedCleanup>,
    pub refused: Vec<RefusedCleanup>,
    pub dry_run: bool,
}

/// A cleanup that is entered, or under way.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct StartedCleanup {
    pub job_id: JobId,
    pub cleanup_id: Option<String>,
    /// False when there was one already.
    pub new: bool,
}

/// A job that is not cleaned up.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RefusedCleanup {
    pub job_id: String,
    pub code: String,
    pub detail: String,
}

impl Operation for StartCleanups {
    type Report = StartReport;

    const ENTRY: Entry = Entry::post(
        &["cleanup", "start"],
        "/api/admin/cleanup/start",
        "Asks for the cleanup of jobs that are over",
    )
    .offered(Offer {
        verb: "Clean up",
        does: "Asks for the removal of what the job left: code index, Docker objects, workspace and output. A daemon \
               does it, or Run the cleanups in the view Cleanup.",
        statuses: JobStatus::OVER,
        ids: "job_ids",
        can_rehearse: false,
    });

    fn run(&self, context: &mut Context<'_>) -> Result<Done<StartReport>, OperationError> {
        let dir = context.state_dir()?;
        let queue = Queue::open(&dir)?;
        let (actor, dry_run) = (context.actor(), context.is_dry_run());
        let trail = if dry_run { None } else { Some(Trail::open(&dir)?) };
        let mut report = StartReport { started: Vec::new(), refused: Vec::new(), dry_run };
        let mut last_error: Option<OperationError> = None;
        let mut known = KnownCleanups::read(&dir)?;
        for named in &self.job_ids {
            let job = match find_to_change(queue.state(), named) {
                Ok(job) => job,
                Err(error) => {
                    report.refuse(named, error.code_name(), error.message());
                    last_error = Some(error);
                    continue;
                }
            };
            if dry_run && job.status.is_over() {
                report.started.push(StartedCleanup { job_id: job.id.clone(), cleanup_id: None, new: true });
                continue;
            }
            match create_beside(
                &mut known,
                &dir,
                &CleanupRequest { job, source: Source::Asked, actor: &actor },
            ) {
                Ok(created) => {
                    let (id, new) = match created {
                        Created::New(id) => (id, true),
                        Created::UnderWay(id) => (id, false),
                    };
                    if let Some(trail) = trail.as_ref().filter(|_| new) {
                        let (at, object) = (dir.clock.now(), Object::job(&job.id));
                        let detail = format!("cleanup {id}");
                        trail.record(&AuditEntry::done(at, &actor, "cleanup start", object, detail))?;
                    }
                    report.started.push(StartedCleanup { job_id: job.id.clone(), cleanup_id: Some(id), new });
                }
                Err(error) => {
                    let error = OperationError::from(error);
                    report.refuse(named, error.code_name(), error.message());
                    last_error = Some(error);
                }
            }
        }
        let Some(error) = last_error else { return Ok(Done::all(report)) };
        if self.job_ids.len() == 1 {
            return Err(error);
        }
        let is_known = |refused: &RefusedCleanup| refused.code != "no-such-job";
        if report.started.is_empty() && !report.refused.iter().any(is_known) {
            return Err(error.with_report(report));
        }
        Ok(Done::complete_if(false, report))
    }
}

impl StartReport {
    fn refuse(&mut self, job: &str, code: &str, detail: String) {
        let (job_id, code) = (job.to_owned(), code.to_owned());
        self.refused.push(RefusedCleanup { job_id, code, detail });
    }
}
