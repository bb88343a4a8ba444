//! A daemon, asked over HTTP: its endpoints answer with the reports that the directory is read into, so the
//! views are the same. The binary makes the requests ([`Daemon`]).

use std::fmt::Write;
use std::sync::Arc;

use recovery::recovery::Snapshot;
use recovery::report::audit::AuditReport;
use recovery::report::cleanup::{CleanupState, CompletedList};
use recovery::report::dashboard::Dashboard;
use recovery::report::jobs::{JobDetail, JobList, JobSummary};
use recovery::report::locks::InspectedLocks;
use recovery::report::orphans::CandidatesReport;
use recovery::report::queue::{QueueStatus, Waiting};
use recovery::report::startup::{CleanupLog, StartupDetection, StartupHistory, StartupLogReport};
use recovery::report::webhooks::{DeliveryLogReport, PendingDeliveries};
use recovery::report::why_job::WhyJob;
use recovery::report::why_lock::WhyLock;
use recovery::report::why_orphan::WhyOrphan;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::output::SHOWN;
use super::{Source, Trouble, no_evidence};
use crate::listing::{Document, Listing, Object};
use crate::message::{Answer, Ask};
use crate::model::View;
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

/// Asks a daemon. Blocks, for a bounded time.
pub trait Daemon: Send {
    /// The body of what `GET` of this path, with its query, answers.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`] when there is no answer, [`Trouble::NotRead`] with the daemon's own words when
    /// it is a refusal.
    fn get(&mut self, path: &str) -> Result<Vec<u8>, Trouble>;

    /// A number that changes when the daemon reports an event.
    fn happened(&mut self) -> u64;

    /// The last progress of the recovery that the daemon is in; `None` when it reports none.
    fn recovering(&mut self) -> Option<Arc<Snapshot>>;
}

pub struct DaemonSource<D> {
    daemon: D,
}

/// The answer of `GET /api/jobs/{id}/output`, as far as it is shown.
#[derive(Deserialize)]
struct OutputReport {
    attempt: u32,
    bytes: u64,
    output: String,
}

impl<D: Daemon> DaemonSource<D> {
    /// Asks nothing yet.
    pub fn new(daemon: D) -> DaemonSource<D> {
        DaemonSource { daemon }
    }

    fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Trouble> {
        let body = self.daemon.get(path)?;
        serde_json::from_slice(&body).map_err(|e| {
            format!("what the daemon answers is not understood ({e}); is it of another version?").into()
        })
    }

    fn overview(&mut self) -> Result<Answer, Trouble> {
        let dashboard: Dashboard = self.get("/api/admin/recovery/dashboard-data")?;
        // Figures only; a view of its own reports what cannot be read.
        let cleanups = self.get::<CleanupState>("/api/admin/cleanup/state?limit=1");
        let cleanups = unless_lost(cleanups)?.map(|state| state.counts).unwrap_or_default();
        let plan = self.get::<CandidatesReport>("/api/admin/orphans/candidates?limit=1");
        let plan = unless_lost(plan)?.filter(|plan| plan.plan_id.is_some());
        let orphans = plan.map(|plan| (plan.total, plan.bytes_total));
        Ok(Answer::Overview(Arc::new(Overview::new(dashboard, Besides { cleanups, orphans }))))
    }

    fn list(&mut self, view: View) -> Result<Arc<dyn Listing>, Trouble> {
        Ok(match view {
            View::Overview => return Err("the overview is no list".into()),
            View::Queue => {
                let status: QueueStatus = self.get("/api/admin/recovery/queue/status")?;
                let queued: JobList = self.get("/api/jobs?status=queued")?;
                Arc::new(QueuePanel { status, line: line(queued) })
            }
            View::Jobs => Arc::new(Jobs(self.get("/api/jobs")?)),
            View::Locks => Arc::new(Locks::new(self.get::<InspectedLocks>("/api/admin/locks/inspect")?)),
            View::Cleanup => {
                let open: CleanupState = self.get("/api/admin/cleanup/state")?;
                let over: CompletedList = self.get("/api/admin/cleanup/completed")?;
                Arc::new(Cleanups { open, over })
            }
            View::Orphans => Arc::new(Orphans(self.get("/api/admin/orphans/candidates")?)),
            View::Startup => Arc::new(self.startups()?),
            View::Webhooks => {
                let pending: PendingDeliveries = self.get("/api/admin/webhooks/pending")?;
                let log: DeliveryLogReport = self.get("/api/admin/webhooks/delivery-log")?;
                Arc::new(Webhooks::new(pending, log))
            }
            View::Audit => Arc::new(Audit(self.get::<AuditReport>("/api/admin/audit")?)),
        })
    }

    fn startups(&mut self) -> Result<Startups, Trouble> {
        Ok(Startups {
            history: self.get::<StartupHistory>("/api/admin/startup/history")?,
            detection: self.get::<StartupDetection>("/api/admin/startup/detection")?,
            operations: self.get::<StartupLogReport>("/api/admin/startup-log")?,
            cleaned: self.get::<CleanupLog>("/api/admin/startup/cleanup-log")?,
        })
    }

    fn object(&mut self, object: &Object) -> Result<Arc<dyn Document>, Trouble> {
        Ok(match object {
            Object::Job(id) => {
                let detail: JobDetail = self.get(&format!("/api/jobs/{}", encoded(id)))?;
                // A job is shown even if its output cannot be read.
                let output = match self.output(id) {
                    Ok(report) => Ok(report.output),
                    Err(Trouble::NotRead(why)) => Err(why),
                    Err(lost @ Trouble::Unreachable(_)) => return Err(lost),
                };
                Arc::new(JobPanel { detail, output })
            }
            Object::Output(id) => {
                let job: JobSummary = self.get(&format!("/api/jobs/{}", encoded(id)))?;
                let OutputReport { attempt, bytes, output } = self.output(id)?;
                Arc::new(Output { job_id: job.job_id, attempt, status: job.status, bytes, text: output })
            }
            Object::Why(what) => {
                let path = format!("/api/admin/why?object={}", encoded(what));
                match what.split_once(':') {
                    Some(("job", _)) => Arc::new(self.get::<WhyJob>(&path)?),
                    Some(("lock", _)) => Arc::new(self.get::<WhyLock>(&path)?),
                    Some(("orphan", _)) => Arc::new(self.get::<WhyOrphan>(&path)?),
                    _ => return Err(no_evidence(what).into()),
                }
            }
            Object::Startup(id) => return Err(format!("startup {id} is described in the list").into()),
        })
    }

    fn output(&mut self, id: &str) -> Result<OutputReport, Trouble> {
        self.get(&format!("/api/jobs/{}/output?tail={}KiB", encoded(id), SHOWN >> 10))
    }
}

impl<D: Daemon> Source for DaemonSource<D> {
    fn read(&mut self, ask: &Ask) -> Result<Answer, Trouble> {
        match ask {
            Ask::Overview => self.overview(),
            // Told without being asked: also where a report waits for a disk that does not answer.
            Ask::Progress => Ok(Answer::Progress(self.daemon.recovering())),
            Ask::List(view) => Ok(Answer::List(*view, self.list(*view)?)),
            Ask::Object(object) => Ok(Answer::Object(object.clone(), self.object(object)?)),
        }
    }

    fn stamp(&mut self) -> u64 {
        self.daemon.happened()
    }
}

/// Ignores a failed read of something optional, except that the daemon does not answer any more.
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

/// A name as a part of a path or a query.
fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}"); // A string takes everything.
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake(fn(&str) -> Result<Vec<u8>, Trouble>);

    impl Daemon for Fake {
        fn get(&mut self, path: &str) -> Result<Vec<u8>, Trouble> {
            (self.0)(path)
        }

        fn happened(&mut self) -> u64 {
            0
        }

        fn recovering(&mut self) -> Option<Arc<Snapshot>> {
            None
        }
    }

    #[test]
    fn names_are_encoded() {
        assert_eq!(encoded("job:a/b ü%?&#"), "job:a%2Fb%20%C3%BC%25%3F%26%23");
    }

    #[test]
    fn an_answer_of_another_kind_and_no_answer_are_told_apart() {
        let mut strange = DaemonSource::new(Fake(|_| Ok(b"<html>".to_vec())));
        let Err(Trouble::NotRead(why)) = strange.read(&Ask::List(View::Jobs)) else { panic!("understood") };
        assert!(why.contains("another version"), "{why}");
        // A part that is missing costs the page; a connection that is lost costs all that is asked.
        let mut half = DaemonSource::new(Fake(|path| match path.contains("/output") {
            true => Err(Trouble::Unreachable("gone".to_owned())),
            false => Ok(Vec::new()),
        }));
        assert_eq!(unless_lost(half.output("a").map(drop)), Err(Trouble::Unreachable("gone".to_owned())));
        assert_eq!(unless_lost::<()>(Err("no".into())), Ok(None));
    }

    #[test]
    fn the_line_is_in_its_order() {
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
