//! A state directory, read as every command reads it: through the library's reports. Works with or without a
//! daemon.

use std::sync::Arc;

use recovery::daemon::known_daemon;
use recovery::durable::is_held;
use recovery::locks;
use recovery::orphans::{self, Asked, OrphanSettings, ScanContext, explain};
use recovery::queue::{Job, JobId, Queue, QueueState, QueueView, SharedQueue};
use recovery::recovery::{
    JobHolders, Recovery, Settings, read_current, read_history, read_last, recovery_ends,
};
use recovery::repair::would_repair_lock;
use recovery::report::audit::{AuditFilter, AuditReport};
use recovery::report::cleanup::{CleanupState, CompletedList};
use recovery::report::dashboard::Dashboard;
use recovery::report::jobs::{JobDetail, JobFilter, JobList};
use recovery::report::locks::InspectedLocks;
use recovery::report::orphans::CandidatesReport;
use recovery::report::page::Page;
use recovery::report::queue::{QueueStatus, findings, last_recovered, line};
use recovery::report::startup::{CleanupLog, Recoveries, StartupDetection, StartupHistory, StartupLogReport};
use recovery::report::status::{DaemonStatus, Gathered};
use recovery::report::webhooks::{DeliveryLogReport, PendingDeliveries};
use recovery::report::why_job::WhyJob;
use recovery::report::why_lock::WhyLock;
use recovery::report::why_orphan::WhyOrphan;
use recovery::report::{change, held_repositories, lock_of};
use recovery::startup::StartupLog;
use recovery::state::StateDir;
use recovery::webhooks::{Survey, attempts_in};

use super::{Source, Trouble, no_evidence, output};
use crate::listing::{Document, Listing, Object};
use crate::message::{Answer, Ask};
use crate::model::View;
use crate::panel::audit::Audit;
use crate::panel::cleanup::Cleanups;
use crate::panel::job::Job as JobPanel;
use crate::panel::jobs::Jobs;
use crate::panel::locks::Locks;
use crate::panel::orphans::Orphans;
use crate::panel::overview::{Besides, Overview};
use crate::panel::queue::Queue as QueuePanel;
use crate::panel::startup::Startups;
use crate::panel::webhooks::Webhooks;

pub struct DirectorySource {
    dir: StateDir,
    settings: Settings,
    scanning: OrphanSettings,
    /// Kept, so that only new records are read.
    queue: Arc<SharedQueue>,
}

impl DirectorySource {
    /// Reads nothing yet. `settings` are used to judge jobs and to list phases, none of which runs;
    /// `scanning` to judge orphans.
    pub fn new(dir: StateDir, settings: Settings, scanning: OrphanSettings) -> DirectorySource {
        DirectorySource { dir, settings, scanning, queue: Arc::default() }
    }

    fn with_queue<T>(&self, act: impl FnOnce(&Self, &Queue) -> Result<T, String>) -> Result<T, String> {
        let queue = self.view()?;
        act(self, &queue)
    }

    fn view(&self) -> Result<QueueView, String> {
        self.queue.view(&self.dir).map_err(|e| sentence(&e))
    }

    fn overview(&mut self) -> Result<Answer, String> {
        let queue = self.view()?;
        let (dir, endpoints) = (&self.dir, &self.settings.webhooks.endpoints);
        let survey = Survey::take(dir, queue.state(), endpoints, &recovery_ends(dir)).ok();
        let gathered = Gathered::read(dir, queue).with_webhooks(survey);
        let made = self.overview_of(&gathered)?;
        Ok(Answer::Overview(Arc::new(Overview::new(made, self.besides()))))
    }

    /// Figures only; a view of its own reports what cannot be read.
    fn besides(&self) -> Besides {
        let first = Page { limit: Some(1), ..Page::default() };
        let cleanups = CleanupState::read(&self.dir, &first).map(|state| state.counts).unwrap_or_default();
        let plan = orphans::plan(&self.dir).ok().flatten();
        let orphans = plan.map(|plan| (plan.candidates.len() as u64, plan.bytes_total()));
        Besides { cleanups, orphans }
    }

    fn overview_of(&self, gathered: &Gathered) -> Result<Dashboard, String> {
        let daemon = known_daemon(&self.dir).map_err(|e| sentence(&e))?;
        let daemon = daemon.map(|d| DaemonStatus {
            pid: d.pid,
            started_at: d.started_at,
            safe_mode: d.safe_mode,
            address: d.address,
            socket: d.socket,
            loop_restarts: d.loop_restarts,
        });
        let declared = Recovery::new(&self.dir, self.settings.clone()).map_err(|e| sentence(&e))?;
        Dashboard::new(gathered, daemon, declared.graph(), self.settings.jobs.limits)
            .map_err(|e| sentence(&e))
    }

    fn list(&mut self, view: View) -> Result<Arc<dyn Listing>, String> {
        let all = Page::default();
        Ok(match view {
            View::Overview => return Err("the overview is no list".to_owned()),
            View::Queue => self.with_queue(|this, queue| {
                let state = queue.state();
                let held = held_repositories(&this.dir, state).map_err(|e| sentence(&e))?;
                let last = read_last(&this.dir).ok().flatten();
                let recovered = last_recovered(last.as_ref());
                let status = QueueStatus::new(queue, recovered, &held, findings(queue.replayed()));
                Ok(Arc::new(QueuePanel { status, line: line(state, &held).collect() }) as Arc<dyn Listing>)
            })?,
            View::Jobs => self.with_queue(|this, queue| {
                let held = held_repositories(&this.dir, queue.state()).map_err(|e| sentence(&e))?;
                let list = JobList::new(queue.state(), &held, &JobFilter::default(), &all);
                Ok(Arc::new(Jobs(list.map_err(|e| sentence(&e))?)) as Arc<dyn Listing>)
            })?,
            View::Locks => self.with_queue(|this, queue| {
                let holders = this.holders();
                let locks = locks::list(&this.dir, &|id, claim| holders.liveness(id, claim));
                let locks = locks.map_err(|e| sentence(&e))?;
                let report = InspectedLocks::new(&this.dir, locks, queue.state(), &all);
                Ok(Arc::new(Locks::new(report.map_err(|e| sentence(&e))?)) as Arc<dyn Listing>)
            })?,
            View::Startup => Arc::new(self.startups()?),
            View::Audit => {
                let report = AuditReport::read(&self.dir, &AuditFilter::default(), &all);
                Arc::new(Audit(report.map_err(|e| sentence(&e))?))
            }
            View::Cleanup => {
                let open = CleanupState::read(&self.dir, &all).map_err(|e| sentence(&e))?;
                let over = CompletedList::read(&self.dir, &all).map_err(|e| sentence(&e))?;
                Arc::new(Cleanups { open, over })
            }
            View::Orphans => {
                let plan = orphans::plan(&self.dir).map_err(|e| sentence(&e))?;
                let trash = orphans::trashed(&self.dir).map_err(|e| sentence(&e))?;
                let report = CandidatesReport::new(plan.as_ref(), &[], trash, &all);
                Arc::new(Orphans(report.map_err(|e| sentence(&e))?))
            }
            View::Webhooks => self.webhooks()?,
        })
    }

    fn webhooks(&mut self) -> Result<Arc<dyn Listing>, String> {
        let all = Page::default();
        self.with_queue(|this, queue| {
            let (dir, endpoints) = (&this.dir, &this.settings.webhooks.endpoints);
            let survey = Survey::take(dir, queue.state(), endpoints, &recovery_ends(dir));
            let survey = survey.map_err(|e| sentence(&e))?;
            let is_delivering = is_held(&dir.paths.deliver_lock()).unwrap_or(false);
            let pending = PendingDeliveries::new(&survey, None, is_delivering, &all);
            let attempts = attempts_in(dir).map_err(|e| sentence(&e))?;
            let attempts = this.settings.webhooks.retention().of(attempts, dir.clock.now());
            let log = DeliveryLogReport::new(attempts, &survey.problems, &all);
            let panel = Webhooks::new(pending.map_err(|e| sentence(&e))?, log.map_err(|e| sentence(&e))?);
            Ok(Arc::new(panel) as Arc<dyn Listing>)
        })
    }

    fn startups(&self) -> Result<Startups, String> {
        let (dir, all) = (&self.dir, Page::default());
        let current = read_current(dir);
        let last = read_last(dir).ok().flatten();
        let history = read_history(dir).unwrap_or_default();
        let recoveries = Recoveries { current: current.as_ref(), last: last.as_ref(), history: &history };
        let log = StartupLog::read(dir).map_err(|e| sentence(&e))?;
        Ok(Startups {
            history: StartupHistory::read(dir, &all).map_err(|e| sentence(&e))?,
            detection: StartupDetection::read(dir).map_err(|e| sentence(&e))?,
            operations: StartupLogReport::read(dir, recoveries).map_err(|e| sentence(&e))?,
            cleaned: CleanupLog::new(&log, &all).map_err(|e| sentence(&e))?,
        })
    }

    fn holders(&self) -> JobHolders {
        JobHolders::new(&self.dir, self.settings.jobs.limits)
    }

    fn object(&mut self, object: &Object) -> Result<Arc<dyn Document>, String> {
        match object {
            Object::Job(id) => self.with_queue(|this, queue| this.job(queue.state(), id)),
            Object::Output(id) => self.with_queue(|this, queue| {
                let job = find(queue.state(), id)?;
                Ok(Arc::new(output::read(&this.dir, job)?) as Arc<dyn Document>)
            }),
            Object::Why(what) => match what.split_once(':') {
                Some(("job", id)) => self.with_queue(|this, queue| {
                    let job = find(queue.state(), id)?;
                    let why = WhyJob::of(&this.dir, queue.state(), job, &this.settings.jobs);
                    Ok(Arc::new(why) as Arc<dyn Document>)
                }),
                Some(("lock", repository)) => self.why_lock(repository),
                Some(("orphan", id)) => self.why_orphan(id),
                _ => Err(no_evidence(what)),
            },
            Object::Startup(id) => Err(format!("startup {id} is described in the list")),
        }
    }

    fn job(&self, state: &QueueState, id: &str) -> Result<Arc<dyn Document>, String> {
        let job = find(state, id)?;
        let held = held_repositories(&self.dir, state).map_err(|e| sentence(&e))?;
        let detail = JobDetail::new(&self.dir, state, &held, job, lock_of(&self.dir, state, job));
        // A job is shown even if its output cannot be read.
        let output = output::read(&self.dir, job).map(|o| o.text);
        Ok(Arc::new(JobPanel { detail, output }))
    }

    fn why_lock(&mut self, repository: &str) -> Result<Arc<dyn Document>, String> {
        let holders = self.holders();
        let info = locks::inspect(&self.dir, repository, &|id, claim| holders.liveness(id, claim))
            .map_err(|e| sentence(&e))?
            .ok_or_else(|| format!("no lock of a repository '{repository}' was ever granted"))?;
        let repair = would_repair_lock(&self.dir, &self.settings.jobs, repository).unwrap_or_default();
        self.with_queue(|this, queue| {
            let why = WhyLock::of(&this.dir, info, queue.state(), repair).map_err(|e| sentence(&e))?;
            Ok(Arc::new(why) as Arc<dyn Document>)
        })
    }

    fn why_orphan(&mut self, id: &str) -> Result<Arc<dyn Document>, String> {
        let holders = self.holders();
        self.with_queue(|this, queue| {
            let world = ScanContext::look(&this.dir, &this.scanning, queue).map_err(|e| sentence(&e))?;
            let liveness = |id: &JobId, claim| holders.liveness(id, claim);
            let explained = explain(&world, &liveness, Asked::Candidate(id)).map_err(|e| sentence(&e))?;
            let why = match explained {
                Some(explained) => WhyOrphan::new(&this.dir, &explained),
                None => WhyOrphan::of_removed(&this.dir, id)
                    .ok_or_else(|| format!("the last scan has no candidate {id}"))?,
            };
            Ok(Arc::new(why) as Arc<dyn Document>)
        })
    }
}

impl Source for DirectorySource {
    fn read(&mut self, ask: &Ask) -> Result<Answer, Trouble> {
        match ask {
            Ask::Overview => Ok(self.overview()?),
            Ask::Progress => Ok(Answer::Progress(read_current(&self.dir).map(Arc::new))),
            Ask::List(view) => Ok(Answer::List(*view, self.list(*view)?)),
            Ask::Object(object) => Ok(Answer::Object(object.clone(), self.object(object)?)),
        }
    }

    fn stamp(&mut self) -> u64 {
        change::stamp(&self.dir)
    }
}

fn find<'a>(state: &'a QueueState, id: &str) -> Result<&'a Job, String> {
    let job = id.parse::<JobId>().ok().and_then(|id| state.get(&id));
    job.ok_or_else(|| format!("there is no job '{id}' any more"))
}

/// An error with its causes, in one sentence.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
