//! A daemon recovers, runs a job and ends.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use recovery::cleanup::CleanupSettings;
use recovery::daemon::{DaemonConfig, DaemonSettings, SchedulerSettings, serve};
use recovery::jobs::RecoverSettings;
use recovery::orphans::OrphanSettings;
use recovery::queue::{Job, JobStatus, Queue};
use recovery::recovery::{RunOptions, Settings};
use recovery::startup::StartedBy;
use recovery::state::StateDir;
use recovery::system::docker::EngineChoice;

use super::odd::remove_if_empty;
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
    let config = DaemonConfig {
        recovery: Settings {
            by: StartedBy::Daemon,
            jobs: RecoverSettings::new(actor()),
            write_records: false,
            webhooks: recovery::webhooks::Settings::default(),
        },
        scheduler: SchedulerSettings {
            workers: 1,
            supervisor,
            environment: Vec::new(),
            only: BTreeSet::new(),
            poll: Duration::from_millis(5),
            checkpoint_records: 3,
            checkpoint_interval: Duration::from_secs(3600),
            jobs: RecoverSettings::new(actor()),
        },
        webhooks: recovery::webhooks::Settings::default(),
        // There is no engine: the objects of the machine's own engine are outside of the laboratory.
        cleanup: CleanupSettings { engine: EngineChoice::None, ..CleanupSettings::new(actor()) },
        orphans: OrphanSettings::new(actor()),
        retention: None,
        drain_timeout: Duration::ZERO,
        pauses: Vec::new(),
    };
    DaemonSettings {
        config,
        run: RunOptions::default(),
        trouble: std::sync::Arc::new(|_| ()),
        // There are no clients.
        listen: Box::new(|_| Ok(recovery::daemon::Listening::default())),
        reload: Box::new(|| None),
        ending: recovery::daemon::Ending::default(),
    }
}

fn daemon(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    let any = ["queued", "crashed", "succeeded"];
    ["a", "b"].iter().for_each(|id| stage.acknowledge(Fact::job(id, 1, &any)));
    let settings = settings(supervisor::program(stage));
    let all_are_over = when_all(&dir, &|job| job.status.is_over());
    serve(&dir, settings, &mut |_, _| {}, &all_are_over)?;
    // When this runs again after a kill, a job may have crashed with the previous daemon.
    let queue = Queue::open(&dir)?;
    let jobs: Vec<&Job> = queue.state().jobs().collect();
    jobs.iter().for_each(|job| stage.acknowledge(Fact::job(&job.id.to_string(), 1, &[job.status.as_str()])));
    match jobs.iter().find(|job| job.status != JobStatus::Succeeded) {
        Some(job) => Err(format!("job {} is {}", job.id, job.status).into()),
        None => Ok(()),
    }
}

/// Returns a function that checks whether `is_so` holds for all jobs in the queue, which is opened at the first
/// look. Their records are not read: they are outdated where a daemon was killed before it wrote them, until they
/// are rebuilt.
fn when_all<'a>(dir: &'a StateDir, is_so: &'a dyn Fn(&Job) -> bool) -> impl Fn() -> bool + 'a {
    let opened: RefCell<Option<Queue>> = RefCell::default();
    move || {
        let mut opened = opened.borrow_mut();
        if opened.is_none() {
            *opened = Queue::open(dir).ok();
        }
        opened.as_mut().is_some_and(|queue| queue.refresh().is_ok() && queue.state().jobs().all(is_so))
    }
}

/// A daemon that cannot start any supervisor, and whose folder went when the state directory was open already.
pub(super) const DAEMON_ALONE: Operation =
    Operation { name: "daemon-alone", prepare: jobs, run: daemon_alone };

fn daemon_alone(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    ["a", "b"].iter().for_each(|id| stage.acknowledge(Fact::job(id, 1, &["queued"])));
    remove_if_empty(&dir, &dir.paths.daemon())?;
    let are_held = || recovery::jobs::starts_held(&dir).is_some();
    // A folder seems to be executable until it is executed.
    Ok(serve(&dir, settings(vec!["/".into()]), &mut |_, _| {}, &are_held)?)
}
