//! Maps the dashboard's requests to operations.

use std::sync::Arc;

use recovery::operations::Operation;
use recovery::operations::PageRequest;
use recovery::operations::arguments::Size;
use recovery::operations::cleanup::{CleanupStateRequest, CompletedCleanups};
use recovery::operations::jobs::{ListJobs, OutputReport, ShowJob, ShowOutput};
use recovery::operations::locks::InspectLocks;
use recovery::operations::orphans::OrphanCandidates;
use recovery::operations::queue::QueueStatusRequest;
use recovery::operations::recovery::DashboardRequest;
use recovery::operations::startup::{
    CleanupLogRequest, StartupDetectionRequest, StartupHistoryRequest, StartupLogRequest,
};
use recovery::operations::trail::AuditRequest;
use recovery::operations::webhooks::{DeliveryLogRequest, PendingRequest};
use recovery::operations::why::{Why, WhyRequest};
use recovery::queue::JobStatus;
use recovery::recovery::Snapshot;
use recovery::report::jobs::JobList;
use recovery::report::queue::Waiting;

use super::Source;
use crate::listing::{Document, Listing, Object};
use crate::message::{Answer, Ask, Trouble};
use crate::panel::audit::Audit;
use crate::panel::cleanup::Cleanups;
use crate::panel::job::{Job as JobPanel, Output};
use crate::panel::jobs::Jobs;
use crate::panel::locks::Locks;
use crate::panel::orphans::Orphans;
use crate::panel::overview::{Besides, Overview};
use crate::panel::queue::Queue as QueuePanel;
use crate::panel::startup::Startups;
use crate::panel::webhooks::Webhooks;
use crate::views::View;

/// How much of the end of a job's output is shown, bytes.
const SHOWN: u64 = 64 << 10;

/// Executes operations that read. Blocks, for a bounded time.
pub trait Operator: Send {
    /// The report of an operation.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`] when there is no answer, [`Trouble::NotRead`] for the operation's own failure.
    fn carry_out<O: Operation>(&mut self, request: &O) -> Result<O::Report, Trouble>;

    /// The progress of the recovery that is under way, as far as it is known without a request.
    fn recovering(&mut self) -> Option<Arc<Snapshot>>;

    /// See [`Source::stamp`].
    fn stamp(&mut self) -> u64;
}

/// The dashboard's content, from an operator.
pub struct OperationSource<P> {
    operator: P,
}

impl<P: Operator> OperationSource<P> {
    /// Makes a source that has asked nothing yet.
    pub fn new(operator: P) -> OperationSource<P> {
        OperationSource { operator }
    }

    fn ask<O: Operation>(&mut self, request: &O) -> Result<O::Report, Trouble> {
        self.operator.carry_out(request)
    }

    fn overview(&mut self) -> Result<Answer, Trouble> {
        let dashboard = self.ask(&DashboardRequest {})?;
        let page = PageRequest { limit: Some(1), ..PageRequest::default() };
        // These are figures only; a view of its own reports what cannot be read.
        let cleanups = self.ask(&CleanupStateRequest { page: page.clone() });
        let cleanups = unless_lost(cleanups)?.map(|state| state.counts).unwrap_or_default();
        let plan = self.ask(&OrphanCandidates { page, ..OrphanCandidates::default() });
        let plan = unless_lost(plan)?.filter(|plan| plan.plan_id.is_some());
        let orphans = plan.map(|plan| (plan.total, plan.bytes_total));
        Ok(Answer::Overview(Arc::new(Overview::new(dashboard, Besides { cleanups, orphans }))))
    }

    fn list(&mut self, view: View) -> Result<Arc<dyn Listing>, Trouble> {
        Ok(match view {
            View::Overview => return Err("the overview is no list".into()),
            View::Queue => {
                let status = self.ask(&QueueStatusRequest::default())?;
                let queued =
                    self.ask(&ListJobs { status: Some(JobStatus::Queued), ..ListJobs::default() })?;
                Arc::new(QueuePanel { status, line: line(queued) })
            }
            View::Jobs => Arc::new(Jobs(self.ask(&ListJobs::default())?)),
            View::Locks => Arc::new(Locks::new(self.ask(&InspectLocks::default())?)),
            View::Cleanup => {
                let open = self.ask(&CleanupStateRequest::default())?;
                let over = self.ask(&CompletedCleanups::default())?;
                Arc::new(Cleanups { open, over })
            }
            View::Orphans => Arc::new(Orphans(self.ask(&OrphanCandidates::default())?)),
            View::Startup => Arc::new(Startups {
                history: self.ask(&StartupHistoryRequest::default())?,
                detection: self.ask(&StartupDetectionRequest::default())?,
                operations: self.ask(&StartupLogRequest::default())?,
                cleaned: self.ask(&CleanupLogRequest::default())?,
            }),
            View::Webhooks => {
                let pending = self.ask(&PendingRequest::default())?;
                let log = self.ask(&DeliveryLogRequest::default())?;
                Arc::new(Webhooks::new(pending, log))
            }
            View::Audit => Arc::new(Audit(self.ask(&AuditRequest::default())?)),
        })
    }

    fn object(&mut self, object: &Object) -> Result<Arc<dyn Document>, Trouble> {
        Ok(match object {
            Object::Job(id) => {
                let detail = self.ask(&ShowJob { id: id.clone() })?;
                // A job is shown even if its output cannot be read.
                let output = match self.output(id) {
                    Ok(report) => Ok(report.output),
                    Err(Trouble::NotRead(why)) => Err(why),
                    Err(lost @ Trouble::Unreachable(_)) => return Err(lost),
                };
                Arc::new(JobPanel { detail, output })
            }
            Object::Output(id) => {
                let job = self.ask(&ShowJob { id: id.clone() })?.summary;
                let OutputReport { attempt, bytes, output, .. } = self.output(id)?;
                Arc::new(Output { job_id: job.job_id, attempt, status: job.status, bytes, text: output })
            }
            Object::Why(what) => match self.ask(&WhyRequest { object: what.clone() })? {
                Why::Job(why) => Arc::new(*why),
                Why::Lock(why) => Arc::new(*why),
                Why::Orphan(why) => Arc::new(*why),
            },
            Object::Startup(id) => return Err(format!("startup {id} is described in the list").into()),
        })
    }

    fn output(&mut self, id: &str) -> Result<OutputReport, Trouble> {
        self.ask(&ShowOutput { id: id.to_owned(), attempt: None, tail: Some(Size(SHOWN)) })
    }
}

impl<P: Operator> Source for OperationSource<P> {
    fn read(&mut self, ask: &Ask) -> Result<Answer, Trouble> {
        match ask {
            Ask::Overview => self.overview(),
            // The progress comes without a request, also where a report waits for a disk that does not
            // answer.
            Ask::Progress => Ok(Answer::Progress(self.operator.recovering())),
            Ask::List(view) => Ok(Answer::List(*view, self.list(*view)?)),
            Ask::Object(object) => Ok(Answer::Object(object.clone(), self.object(object)?)),
        }
    }

    fn stamp(&mut self) -> u64 {
        self.operator.stamp()
    }
}

/// Ignores a failed read of something optional, except that nobody answers any more.
fn unless_lost<T>(read: Result<T, Trouble>) -> Result<Option<T>, Trouble> {
    match read {
        Ok(report) => Ok(Some(report)),
        Err(Trouble::NotRead(_)) => Ok(None),
        Err(lost @ Trouble::Unreachable(_)) => Err(lost),
    }
}

/// Everybody in the waiting line, in its order.
fn line(queued: JobList) -> Vec<Waiting> {
    let waiting = queued.jobs.into_iter().filter_map(|job| {
        Some(Waiting {
            position: job.position?,
            job_id: job.job_id,
            priority: job.priority,
            repository: job.repository,
            waiting_for: job.waiting_for,
            not_before: job.not_before,
        })
    });
    let mut line: Vec<Waiting> = waiting.collect();
    line.sort_by_key(|waiting| waiting.position);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lost;

    impl Operator for Lost {
        fn carry_out<O: Operation>(&mut self, _request: &O) -> Result<O::Report, Trouble> {
            match O::ENTRY.words {
                ["jobs", "output"] => Err(Trouble::Unreachable("gone".to_owned())),
                _ => Err("no".into()),
            }
        }

        fn recovering(&mut self) -> Option<Arc<Snapshot>> {
            None
        }

        fn stamp(&mut self) -> u64 {
            0
        }
    }

    #[test]
    fn source_tells_missing_part_from_lost_connection() {
        let mut half = OperationSource::new(Lost);
        assert_eq!(unless_lost(half.output("a").map(drop)), Err(Trouble::Unreachable("gone".to_owned())));
        assert_eq!(unless_lost(half.list(View::Jobs).map(drop)), Ok(None));
    }

    #[test]
    fn line_is_in_its_order() {
        let job = |id: &str, position: &str| {
            format!(
                r#"{{"job_id":"{id}","status":"queued","attempt":1,"priority":0,"position":{position},
                    "submitted_at":"2026-03-01T09:00:00.000Z"}}"#
            )
        };
        let jobs = [job("b", "2"), job("gone", "null"), job("a", "1")].join(",");
        let list = serde_json::from_str(&format!(r#"{{"jobs":[{jobs}],"total":3}}"#)).unwrap();
        let names: Vec<String> = line(list).into_iter().map(|w| w.job_id).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
