//! A container, network or volume, as the engine lists it.

use std::collections::HashMap;

use bollard::models::{ContainerSummary, Network, Volume};
use serde::{Deserialize, Serialize};

use crate::system::clock::Timestamp;

/// The label that names the job an object belongs to.
pub const LABEL_JOB: &str = "io.recoveryctl.job";
/// The label that names the state directory, by its id.
pub const LABEL_STATE: &str = "io.recoveryctl.state";

/// Labels by which tools name the folder that a container was made for: Compose, and development containers.
const FOLDER_LABELS: [&str; 2] = ["com.docker.compose.project.working_dir", "devcontainer.local_folder"];
/// The Compose project of a container, network or volume.
const LABEL_PROJECT: &str = "com.docker.compose.project";
/// The run of testcontainers that a container, network or volume is for.
const LABEL_SESSION: &str = "org.testcontainers.sessionId";

/// The kind of an object. The order is that of removal: each kind may use the later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerKind {
    /// A container.
    Container,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

impl DockerKind {
    /// All, in the order in which they are removed.
    pub(crate) const ALL: [DockerKind; 3] = [DockerKind::Container, DockerKind::Network, DockerKind::Volume];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            DockerKind::Container => "container",
            DockerKind::Network => "network",
            DockerKind::Volume => "volume",
        }
    }
}

/// An object of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerObject {
    /// What it is.
    pub kind: DockerKind,
    /// The full id; of a volume its name, which is its only one.
    pub id: String,
    /// For people; not unique.
    pub name: String,
    /// The job that its label names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The state directory that its label names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_id: Option<String>,
    /// When it was made, as far as the engine tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Of a container: `running`, `exited`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Where its engine is, when several were asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The folder that a tool made it for: of a Compose project, of a development container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The Compose project that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The session of testcontainers that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Folders and volumes that a container has mounted: paths, and names of volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<String>,
}

impl DockerObject {
    /// Its name in reports: `container:ID`, `network:ID`, `volume:NAME`.
    pub(crate) fn object(&self) -> String {
        format!("{}:{}", self.kind.as_str(), self.id)
    }

    /// Whether a container runs; false for other objects.
    pub(crate) fn is_living(&self) -> bool {
        !matches!(self.state.as_deref(), Some("exited" | "created" | "dead" | "removing"))
    }

    /// Whether a container has run and does not run any more.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state.as_deref(), Some("exited" | "dead" | "removing"))
    }

    fn new(kind: DockerKind, id: String, name: String, labels: &HashMap<String, String>) -> DockerObject {
        let label = |name: &str| labels.get(name).cloned();
        let (job, state_id) = (label(LABEL_JOB), label(LABEL_STATE));
        DockerObject {
            kind,
            id,
            name,
            job,
            state_id,
            created_at: None,
            state: None,
            engine: None,
            folder: FOLDER_LABELS.iter().find_map(|name| label(name)),
            project: label(LABEL_PROJECT),
            session: label(LABEL_SESSION),
            mounts: Vec::new(),
        }
    }

    pub(super) fn of_container(c: ContainerSummary) -> Option<DockerObject> {
        let name = c.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        let name = name.trim_start_matches('/').to_owned();
        let mounts = c.mounts.unwrap_or_default().into_iter().flat_map(|m| [m.source, m.name]);
        let created_at = c.created.map(|s| Timestamp::from_millis(s.saturating_mul(1000)));
        let state = c.state.map(|s| s.to_string()).filter(|s| !s.is_empty());
        let mounts = mounts.flatten().filter(|m| !m.is_empty()).collect();
        let object = DockerObject::new(DockerKind::Container, c.id?, name, &c.labels.unwrap_or_default());
        Some(DockerObject { created_at, state, mounts, ..object })
    }

    pub(super) fn of_network(n: Network) -> Option<DockerObject> {
        let name = n.name.unwrap_or_default();
        // The engine's own network, which cannot be removed.
        if matches!(name.as_str(), "bridge" | "host" | "none") {
            return None;
        }
        let created_at = n.created.as_deref().and_then(|t| t.parse().ok());
        let object = DockerObject::new(DockerKind::Network, n.id?, name, &n.labels.unwrap_or_default());
        Some(DockerObject { created_at, ..object })
    }

    pub(super) fn of_volume(v: Volume) -> DockerObject {
        let created_at = v.created_at.as_deref().and_then(|t| t.parse().ok());
        let object = DockerObject::new(DockerKind::Volume, v.name.clone(), v.name, &v.labels);
        DockerObject { created_at, ..object }
    }
}
