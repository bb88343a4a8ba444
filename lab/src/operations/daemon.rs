//! A daemon recovers, runs a job and ends.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use recovery::cleanup::CleanupSettings;
use recovery::daemon::{DaemonSettings, Rules, SchedulerSettings, serve};
use recovery::jobs::{RecoverSettings, record};
use recovery::orphans::OrphanSettings;
use recovery::queue::{Job, JobId, JobStatus, Queue};
use recovery::recovery::{RunOptions, Settings};
use recovery::startup::StartedBy;

use super::stage::actor;
use super::{Operation, Stage, supervisor};
use crate::Error;
use crate::facts::Fact;

/// From its start to its end, with a job and checkpoints in between.
pub(super) const DAEMON: Operation = Operation { name: "daemon", prepare: jobs, run: daemon };

fn jobs(stage: &Stage) -> Result<(), Error> {
    for id in ["a", "b"] {
        stage.submit(Some(id), |_| {})?;
    }
    Ok(())
}

fn settings(supervisor: Vec<OsString>) -> DaemonSettings {
    let rules = Rules {
        recovery: Settings {
            by: StartedBy::Daemon,
            jobs: RecoverSettings::new(actor()),
            write_records: false,
            webhooks: recovery::webhooks::Settings::default(),
        },
        scheduler: SchedulerSettings {
            workers: 1,
            supervisor,
            only: BTreeSet::new(),
            poll: Duration::from_millis(5),
            checkpoint_records: 3,
            checkpoint_interval: Duration::from_secs(3600),
            jobs: RecoverSettings::new(actor()),
        },
        webhooks: recovery::webhooks::Settings::default(),
        // No engine: what the machine's own has is none of a laboratory's business.
        cleanup: CleanupSettings { engine: None, ..CleanupSettings::new(actor()) },
        orphans: OrphanSettings::new(actor()),
        retention: None,
        pauses: Vec::new(),
    };
    DaemonSettings {
        rules,
        run: RunOptions::default(),
        trouble: std::sync::Arc::new(|_| ()),
        // Nobody asks it anything.
        listen: Box::new(|_| Ok(recovery::daemon::Listening::default())),
        reload: Box::new(|| None),
    }
}

fn daemon(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    let any = ["queued", "crashed", "succeeded"];
    ["a", "b"].iter().for_each(|id| stage.acknowledge(Fact::job(id, 1, &any)));
    let is_over = |id: &str| -> Option<bool> {
        let id: JobId = id.parse().ok()?;
        record::read(&dir, &id).ok()?.whole().map(|document| document.status.is_over())
    };
    let settings = settings(supervisor::program(stage));
    serve(&dir, settings, &mut |_, _| {}, &|| ["a", "b"].iter().all(|id| is_over(id) == Some(true)))?;
    ["a", "b"].iter().for_each(|id| stage.acknowledge(Fact::job(id, 1, &["succeeded"])));
    Ok(())
}

/// A daemon that cannot start any supervisor.
pub(super) const DAEMON_ALONE: Operation =
    Operation { name: "daemon-alone", prepare: jobs, run: daemon_alone };

fn daemon_alone(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    ["a", "b"].iter().for_each(|id| stage.acknowledge(Fact::job(id, 1, &["queued"])));
    let mut queue = Queue::open(&Stage::unrecorded(stage.world()).dir()?)?;
    let queue = RefCell::new(&mut queue);
    let is_back = |job: &Job| job.status == JobStatus::Queued && job.not_before.is_some();
    let all_are_back = || {
        let mut queue = queue.borrow_mut();
        queue.refresh().is_ok() && queue.state().jobs().all(is_back)
    };
    Ok(serve(&dir, settings(vec!["/no/such/supervisor".into()]), &mut |_, _| {}, &all_are_back)?)
}
