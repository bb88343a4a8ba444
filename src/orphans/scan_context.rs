//! The input of the checks: one picture of the queue, the processes, the mounts and the engine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::archive::{ArchiveRetention, KeepRules};
use crate::cleanup;
use crate::durable::DiskError;
use crate::in_use::InUse;
use crate::jobs::{Living, ProcessTable, living_of};
use crate::queue::{Actor, Job, JobId, Queue};
use crate::state::{StateDir, Timestamp};
use crate::system::docker::{DockerKind, DockerObject, EngineChoice, EngineError, Engines};
use crate::system::is_network;

/// How orphans are looked for and removed.
#[derive(Debug, Clone)]
pub struct OrphanSettings {
    /// Who does it.
    pub actor: Actor,
    /// How long something must not have changed before it can be removed.
    pub grace: Duration,
    /// How long removed folders can be restored.
    pub trash_keep: Duration,
    /// How many bytes the trash may hold.
    pub trash_bytes: u64,
    /// How often a daemon scans and empties the trash; zero: only when it recovers.
    pub scan_every: Duration,
    /// The engines that jobs may have used.
    pub engine: EngineChoice,
    /// The folder that marks a workspace with an index.
    pub index_folder: PathBuf,
    /// Which git work is kept.
    pub keep: KeepRules,
    /// Which archives of git work are kept.
    pub archives: ArchiveRetention,
}

impl OrphanSettings {
    /// Makes the default settings, without an engine.
    pub fn new(actor: Actor) -> OrphanSettings {
        OrphanSettings {
            actor,
            grace: Duration::from_secs(600),
            trash_keep: Duration::from_secs(7 * 24 * 3600),
            trash_bytes: 10 << 30,
            scan_every: Duration::from_secs(3600),
            engine: EngineChoice::None,
            index_folder: ".code-indexer".into(),
            keep: KeepRules::default(),
            archives: ArchiveRetention::default(),
        }
    }
}

/// The engine with its objects, or why it did not answer.
pub(super) type Answer = Result<(Engines, Vec<DockerObject>), EngineError>;

/// One picture of everything that may own something.
pub struct ScanContext<'a> {
    pub(super) dir: &'a StateDir,
    pub(super) settings: &'a OrphanSettings,
    pub(super) queue: &'a Queue,
    pub(super) table: ProcessTable,
    pub(super) now: Timestamp,
    /// Jobs with a cleanup that is not over.
    cleaning: BTreeSet<JobId>,
    /// The uses of the state directory's files.
    pub(super) in_use: InUse,
    /// The network file system that holds the workspaces, if nothing else is mounted in between.
    network: Option<&'static str>,
    /// The path of the state directory without links.
    real_root: PathBuf,
    /// What the engine answered; `None` when this machine has no engine.
    pub(super) engine: Option<Answer>,
}

impl<'a> ScanContext<'a> {
    /// Takes a new picture of a queue that has just been followed. With `docker`, asks the engine as well.
    pub fn look(
        dir: &'a StateDir,
        settings: &'a OrphanSettings,
        queue: &'a Queue,
    ) -> Result<ScanContext<'a>, DiskError> {
        let cleaning = cleanup::list(dir)?.into_iter().map(|c| c.job_id).collect();
        let engine = (settings.engine != EngineChoice::None).then(|| ask(&settings.engine));
        let root = dir.paths.root();
        let real_root = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        Ok(ScanContext {
            dir,
            settings,
            queue,
            table: ProcessTable::new(),
            now: dir.clock.now(),
            cleaning,
            in_use: InUse::look(dir, queue.state()),
            network: is_network(&dir.paths.jobs()),
            real_root,
            engine,
        })
    }

    pub(super) fn job(&self, id: &JobId) -> Option<&'a Job> {
        self.queue.state().get(id)
    }

    pub(super) fn life(&self, id: &JobId) -> Living {
        living_of(self.dir, id, &self.table)
    }

    pub(super) fn is_cleaned_up(&self, id: &JobId) -> bool {
        self.cleaning.contains(id)
    }

    /// Returns a path of the state directory as mounts name it. Below the state directory, no links are
    /// followed.
    pub(super) fn real(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.dir.paths.root()).map_or_else(|_| path.to_owned(), |p| self.real_root.join(p))
    }

    /// Returns the network file system that holds a workspace.
    pub(super) fn network_of(&self, workspace: &Path) -> Option<&'static str> {
        if self.in_use.has_mounts_below(&self.real_root) { is_network(workspace) } else { self.network }
    }

    /// Returns the engine's objects; an error when there is an engine and it does not answer.
    pub(super) fn objects(&self) -> Result<&[DockerObject], &EngineError> {
        match &self.engine {
            None => Ok(&[]),
            Some(Ok((_, objects))) => Ok(objects),
            Some(Err(e)) => Err(e),
        }
    }
}

fn ask(choice: &EngineChoice) -> Answer {
    let engine = Engines::connect(choice)?;
    let mut objects = Vec::new();
    for kind in DockerKind::ALL {
        objects.extend(engine.list(kind)?);
    }
    Ok((engine, objects))
}
