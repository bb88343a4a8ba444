//! Objects that other tools name after a job's workspace: Compose projects, development containers, sessions
//! of testcontainers, and bind mounts.
//!
//! | what | is the job's |
//! | --- | --- |
//! | container whose Compose project, or development container, has its folder in the workspace | yes |
//! | network or volume of such a project | yes, unless the project has its folder elsewhere too |
//! | container, network or volume of a testcontainers session of which a container is the job's, or mounts the workspace | yes |
//! | container that mounts the workspace, was made in the job's time and has ended | yes |
//! | container that mounts the workspace, and was made later or never started | no: it was started to look into the workspace |
//! | container that mounts the workspace, and lives | it uses the workspace, whatever its labels say: the cleanup waits |
//!
//! Objects with a label of ours are not decided here, and no object older than the job is the job's.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::state::{StateDir, Timestamp};
use crate::system::docker::{DockerKind, DockerObject};

/// How far an object's time may be off: engines give whole seconds of their own clock.
const SLACK_MS: i64 = 1000;

/// The time in which a job can have made something.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobTime {
    pub(super) submitted_at: Timestamp,
    /// When the job's last attempt ended; `None` when that is not known.
    pub(super) ended_at: Option<Timestamp>,
}

/// The names that objects of one workspace have.
#[derive(Debug, Default)]
pub(super) struct NamedByWorkspace {
    folders: Vec<PathBuf>,
    projects: HashSet<String>,
    sessions: HashSet<String>,
}

impl NamedByWorkspace {
    /// Collects the names from the containers that exist or were found before. `is_job_s` recognises those
    /// with the job's label or name.
    pub(super) fn of(
        workspace: &Path,
        containers: &[DockerObject],
        is_job_s: &dyn Fn(&DockerObject) -> bool,
    ) -> NamedByWorkspace {
        let real = std::fs::canonicalize(workspace).ok().filter(|real| real != workspace);
        let folders = std::iter::once(workspace.to_owned()).chain(real).collect();
        let mut named = NamedByWorkspace { folders, ..NamedByWorkspace::default() };
        let projects = |is_wanted: &dyn Fn(&DockerObject) -> bool| {
            let wanted = containers.iter().filter(|c| is_wanted(c));
            wanted.filter_map(|c| c.project.clone()).collect::<HashSet<String>>()
        };
        let elsewhere = projects(&|c| c.folder.is_some() && !named.has_its_folder(c));
        let here = projects(&|c| named.has_its_folder(c));
        let ours = containers.iter().filter(|c| is_job_s(c) || named.mounts(c));
        let sessions = ours.filter_map(|c| c.session.clone()).collect();
        named.projects = here.difference(&elsewhere).cloned().collect();
        named.sessions = sessions;
        named
    }

    fn is_inside(&self, path: &str) -> bool {
        self.folders.iter().any(|folder| Path::new(path).starts_with(folder))
    }

    fn has_its_folder(&self, object: &DockerObject) -> bool {
        object.folder.as_deref().is_some_and(|folder| self.is_inside(folder))
    }

    /// Whether a container mounts the workspace, or something in it.
    pub(super) fn mounts(&self, object: &DockerObject) -> bool {
        object.mounts.iter().any(|path| self.is_inside(path))
    }

    /// Whether an object without a label of ours is the job's by one of these names.
    pub(super) fn name(&self, object: &DockerObject, time: JobTime) -> bool {
        let is_newer = object.created_at.is_some_and(|at| at >= time.submitted_at.plus_millis(-SLACK_MS));
        // A time that the engine rounded down is no later than the real one.
        let is_later = object.created_at.zip(time.ended_at);
        let is_later = is_later.is_some_and(|(made, ended)| made > ended);
        let of =
            |names: &HashSet<String>, name: &Option<String>| name.as_ref().is_some_and(|n| names.contains(n));
        // A mount alone is proof only when nobody else can have made the container.
        let is_left =
            object.kind == DockerKind::Container && object.has_ended() && self.mounts(object) && !is_later;
        let is_free = object.job.is_none() && object.state_id.is_none();
        is_free
            && is_newer
            && (self.has_its_folder(object)
                || of(&self.projects, &object.project)
                || of(&self.sessions, &object.session)
                || is_left)
    }
}

/// Returns the workspace of a job, as containers may name it.
pub(super) fn workspace_of(dir: &StateDir, job: &str) -> Option<PathBuf> {
    let workspace = dir.paths.job(job).ok()?.workspace;
    Some(std::path::absolute(&workspace).unwrap_or(workspace))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: DockerKind, id: &str) -> DockerObject {
        let text = format!(r#"{{"kind":"{}","id":"{id}","name":"{id}"}}"#, kind.as_str());
        let object: DockerObject = serde_json::from_str(&text).unwrap();
        DockerObject { created_at: Some(Timestamp::from_millis(10_000)), ..object }
    }

    fn container(id: &str, change: impl FnOnce(&mut DockerObject)) -> DockerObject {
        let mut container = object(DockerKind::Container, id);
        container.state = Some("running".to_owned());
        change(&mut container);
        container
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn objects_named_by_tools() {
        let web = container("web", |c| (c.project, c.folder) = (some("shop"), some("/s/jobs/a/app")));
        let shared = container("shared", |c| (c.project, c.folder) = (some("both"), some("/s/jobs/a")));
        let other = container("other", |c| (c.project, c.folder) = (some("both"), some("/home/x")));
        let editor = container("editor", |c| c.folder = some("/s/jobs/a"));
        let mounting = container("mounting", |c| c.mounts = vec!["/s/jobs/a/data".to_owned()]);
        let ended =
            container("ended", |c| (c.mounts, c.state) = (vec!["/s/jobs/a".to_owned()], some("exited")));
        let tested =
            container("tested", |c| (c.session, c.mounts) = (some("1"), vec!["/s/jobs/a/x".to_owned()]));
        let reaper = container("reaper", |c| c.session = some("1"));
        let stranger = container("stranger", |c| c.session = some("2"));
        let neighbour = container("neighbour", |c| c.folder = some("/s/jobs/ab"));
        let later = container("later", |c| {
            (c.mounts, c.state) = (vec!["/s/jobs/a".to_owned()], some("exited"));
            c.created_at = Some(Timestamp::from_millis(12_000));
        });
        let filled = container("filled", |c| {
            (c.mounts, c.state) = (vec!["/s/jobs/a".to_owned()], some("created"));
        });
        let labelled = container("labelled", |c| (c.job, c.folder) = (some("b"), some("/s/jobs/a")));
        let all = [
            &web, &shared, &other, &editor, &mounting, &ended, &tested, &reaper, &stranger, &neighbour,
            &labelled, &later, &filled,
        ];
        let all: Vec<DockerObject> = all.into_iter().cloned().collect();
        let named = NamedByWorkspace::of(Path::new("/s/jobs/a"), &all, &|_| false);
        let time = |from: i64| JobTime {
            submitted_at: Timestamp::from_millis(from),
            ended_at: Some(Timestamp::from_millis(10_500)),
        };
        let since = time(9_000);
        let ours: Vec<&str> = all.iter().filter(|o| named.name(o, since)).map(|o| o.id.as_str()).collect();
        assert_eq!(ours, ["web", "shared", "editor", "ended", "tested", "reaper"]);
        assert!(all.iter().all(|o| !named.name(o, time(14_000))), "older than the job");
        let uses: Vec<&str> = all.iter().filter(|o| named.mounts(o)).map(|o| o.id.as_str()).collect();
        assert_eq!(uses, ["mounting", "ended", "tested", "later", "filled"]);
        let mut network = object(DockerKind::Network, "net");
        network.project = some("shop");
        assert!(named.name(&network, since));
        network.project = some("both");
        assert!(!named.name(&network, since), "its project has its folder elsewhere too");
    }
}
