//! The tools of an operation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use recovery::durable::Disk;
use recovery::queue::{
    Actor, CheckedRequest, Claim, CrashPolicy, Entered, JobRequest, JobStatus, Operation, Queue,
    RequestDefaults, Submitter,
};
use recovery::state::StateDir;

use crate::Error;
use crate::facts::Fact;
use crate::record::Recorder;
use crate::recovering;

/// A world with a state directory, and the recorder of its effects.
pub struct Stage {
    world: PathBuf,
    disk: Disk,
    recorder: Option<Arc<Recorder>>,
    pub(super) events: PathBuf,
    pub(super) bug: String,
}

impl Stage {
    pub(crate) fn unrecorded(world: &Path) -> Stage {
        let (disk, events, bug) = (Disk::real(), PathBuf::new(), String::new());
        Stage { world: world.to_owned(), disk, recorder: None, events, bug }
    }

    pub(crate) fn recorded(world: &Path, events: &Path, recorder: Arc<Recorder>, bug: &str) -> Stage {
        let disk = Disk::observed(recorder.clone());
        let (world, events) = (world.to_owned(), events.to_owned());
        Stage { world, disk, recorder: Some(recorder), events, bug: bug.to_owned() }
    }

    /// The folder that all happens in; the state directory is `state` in it.
    pub fn world(&self) -> &Path {
        &self.world
    }

    /// The disk, recorded.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The state directory, made when it is not there, with small segments.
    pub fn dir(&self) -> Result<StateDir, Error> {
        Ok(recovering::open(&self.world, self.disk.clone())?)
    }

    /// Acknowledges a fact: from here on it must survive.
    pub fn acknowledge(&self, fact: Fact) {
        if let Some(recorder) = &self.recorder {
            recorder.acknowledge(fact);
        }
    }

    /// A request as `submit` makes it.
    pub fn request(
        &self,
        id: Option<&str>,
        change: impl FnOnce(&mut JobRequest),
    ) -> Result<CheckedRequest, Error> {
        let mut request = JobRequest {
            command: vec!["true".to_owned()],
            id: id.map(str::to_owned),
            ..JobRequest::default()
        };
        change(&mut request);
        let defaults = RequestDefaults {
            on_crash: CrashPolicy::Hold,
            max_attempts: 3,
            base: None,
            env: BTreeMap::new(),
        };
        Ok(request.check(&defaults)?)
    }

    /// Enters a job and acknowledges it as queued.
    pub fn submit(&self, id: Option<&str>, change: impl FnOnce(&mut JobRequest)) -> Result<Entered, Error> {
        let (dir, actor) = (self.dir()?, actor());
        let request = self.request(id, change)?;
        let entered = Submitter::new(&dir, &actor).enter(vec![request])?.remove(0)?;
        self.acknowledge(Fact::job(&entered.job.to_string(), 1, &["queued"]));
        Ok(entered)
    }

    /// Claims a queued job as a scheduler does; the claim.
    pub fn claim(&self, id: &str) -> Result<Claim, Error> {
        let mut queue = Queue::open(&self.dir()?)?;
        let id = id.parse()?;
        let (claims, ()) = queue.transact(&actor(), |state| {
            let job = state.get(&id).filter(|job| job.status == JobStatus::Queued);
            (
                job.map(|job| Operation::Claim {
                    job: job.id.clone(),
                    attempt: job.attempt,
                    host: Some(std::sync::Arc::new(recovery::system::Host::this())),
                })
                .into_iter()
                .collect(),
                (),
            )
        })?;
        claims.first().copied().map(Claim::of_record).ok_or_else(|| format!("job {id} is not queued").into())
    }
}

/// The acting user.
pub(super) fn actor() -> Actor {
    Actor { by: "laboratory".into(), why: None }
}
