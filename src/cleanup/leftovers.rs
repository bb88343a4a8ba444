//! Finds out whether a job that is over left anything besides files that can simply be deleted.

use super::docker::Ownership;
use super::named::{JobTime, NamedByWorkspace, workspace_of};
use super::settings::CleanupSettings;
use crate::archive::has_git;
use crate::queue::{Job, QueueState};
use crate::state::StateDir;
use crate::system::docker::{DockerKind, DockerObject, EngineError, Engines};

/// Leftovers of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// Nothing but files.
    OnlyFiles,
    /// Something that a cleanup removes or keeps, in words.
    Something(String),
    /// It cannot be determined now; the reason.
    Unknown(String),
}

/// Finds out what jobs left. The engine is asked once, when the first job is looked at.
#[derive(Debug)]
pub(crate) struct Leftovers<'a> {
    dir: &'a StateDir,
    settings: &'a CleanupSettings,
    state_id: String,
    objects: std::cell::OnceCell<Result<Vec<DockerObject>, String>>,
}

impl<'a> Leftovers<'a> {
    /// For the jobs of a state directory.
    pub(crate) fn new(dir: &'a StateDir, settings: &'a CleanupSettings) -> Leftovers<'a> {
        let state_id = dir.identity.state_id.to_string();
        Leftovers { dir, settings, state_id, objects: std::cell::OnceCell::new() }
    }

    /// Returns what one job that is over left. Changes nothing.
    pub(crate) fn of(&self, job: &Job) -> Left {
        let id = job.id.to_string();
        if let Ok(paths) = self.dir.paths.job(&id) {
            let index = paths.workspace.join(&self.settings.index_folder);
            if std::fs::symlink_metadata(&index).is_ok_and(|m| m.is_dir()) {
                return Left::Something("it has a code index".to_owned());
            }
            // The repository of a job that was never cleaned up may have work that exists nowhere else.
            match has_git(&paths.workspace) {
                Ok(false) => {}
                Ok(true) => return Left::Something("there is a git repository in its workspace".to_owned()),
                // The job's cleanup finds that too, and reports it.
                Err(why) => return Left::Something(format!("its workspace cannot be looked through: {why}")),
            }
        }
        // The job may use another engine than the others; its cleanup asks that engine.
        let given = job.spec().map(|spec| spec.env).unwrap_or_default();
        if self.settings.engine_of(&given) != self.settings.engine {
            return Left::Something("it was given variables of the docker client".to_owned());
        }
        let objects = match self.objects.get_or_init(|| list(self.settings, &self.state_id)) {
            Ok(objects) => objects,
            Err(why) => return Left::Unknown(why.clone()),
        };
        let ownership = Ownership { state_id: &self.state_id, names: &self.settings.names };
        // The cleanup, which knows all jobs, finds the objects of other jobs.
        let nobody = QueueState::default();
        match objects.iter().find(|o| ownership.is_of(o, &id, job.submitted_at, &nobody)) {
            Some(object) => Left::Something(format!("it left {} {}", object.kind.as_str(), object.name)),
            None => self.named_by_workspace(job, objects),
        }
    }

    /// Finds objects that tools named after the workspace, or that mount it.
    fn named_by_workspace(&self, job: &Job, objects: &[DockerObject]) -> Left {
        let Some(workspace) = workspace_of(self.dir, &job.id.to_string()) else { return Left::OnlyFiles };
        let is_container = |o: &&DockerObject| o.kind == DockerKind::Container;
        if objects.iter().filter(is_container).all(|c| c.folder.is_none() && c.mounts.is_empty()) {
            return Left::OnlyFiles;
        }
        let named = NamedByWorkspace::of(&workspace, objects, &|_| false);
        let time = JobTime { submitted_at: job.submitted_at, ended_at: job.run_state().finished_at };
        let is_named = |o: &&DockerObject| named.name(o, time) || (o.is_living() && named.mounts(o));
        match objects.iter().find(is_named) {
            Some(o) => Left::Something(format!(
                "{} {} is named after its workspace, or mounts it",
                o.kind.as_str(),
                o.name
            )),
            None => Left::OnlyFiles,
        }
    }
}

/// Returns the objects that may belong to our jobs. Containers of other state directories are included,
/// because one may mount a workspace.
fn list(settings: &CleanupSettings, state_id: &str) -> Result<Vec<DockerObject>, String> {
    let all = || -> Result<Vec<DockerObject>, EngineError> {
        let engine = Engines::connect(&settings.engine)?;
        let mut objects = Vec::new();
        for kind in DockerKind::ALL {
            objects.extend(engine.list(kind)?);
        }
        Ok(objects)
    };
    let is_theirs = |o: &DockerObject| {
        o.kind != DockerKind::Container && o.state_id.as_deref().is_some_and(|id| id != state_id)
    };
    let objects = all().map_err(|e| e.to_string())?;
    Ok(objects.into_iter().filter(|o| !is_theirs(o)).collect())
}
