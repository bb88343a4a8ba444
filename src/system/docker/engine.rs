//! The connection: one runtime on one thread, with a time limit for each request.

use crate::durable::error_chain;
use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::{ListContainersOptions, ListNetworksOptions, ListVolumesOptions};
use bollard::{API_DEFAULT_VERSION, Docker};

use super::object::{DockerKind, DockerObject};

/// Where an engine is, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSettings {
    /// `unix:///var/run/docker.sock`, `tcp://host:2375`, `http://host:2375`.
    pub host: String,
    /// The time limit for one answer. The time that a container may take to stop is added.
    pub timeout: Duration,
    /// The time between a container's signal to end and its kill.
    pub stop_timeout: Duration,
    /// How many objects are removed at a time; the engine gains nothing from more than eight.
    pub parallel: usize,
}

impl Default for EngineSettings {
    fn default() -> EngineSettings {
        EngineSettings {
            host: "unix:///var/run/docker.sock".to_owned(),
            timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
            parallel: 8,
        }
    }
}

/// A failed request to an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// There was no answer, or none in time: nothing is known about any object.
    #[error("the Docker engine at {host} cannot be reached: {why}")]
    Unreachable {
        host: String,
        /// The request, and how it failed.
        why: String,
    },
    /// It is not known which engine to ask.
    #[error("{why}")]
    Unknown {
        /// The reason, and the way out.
        why: String,
    },
    /// Something else uses the object; it may be free later.
    #[error("in use: {why}")]
    InUse {
        /// The engine's words.
        why: String,
    },
    /// The engine refuses.
    #[error("the engine refuses ({status}): {why}")]
    Refused {
        /// Its HTTP status.
        status: u16,
        /// Its message.
        why: String,
    },
}

/// A connection to an engine.
pub struct Engine {
    pub(super) docker: Docker,
    pub(super) settings: EngineSettings,
    pub(super) runtime: tokio::runtime::Runtime,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Engine {
    /// Where it is.
    pub(super) fn host(&self) -> &str {
        &self.settings.host
    }

    /// Connects, and agrees on a version.
    pub(crate) fn connect(settings: &EngineSettings) -> Result<Engine, EngineError> {
        let unreachable = |why: String| EngineError::Unreachable { host: settings.host.clone(), why };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| unreachable(e.to_string()))?;
        // Stopping is one request: it may take the container's time in addition to the engine's.
        let seconds = (settings.timeout + settings.stop_timeout).as_secs().max(1);
        let host = settings.host.as_str();
        let docker = if host.starts_with("unix://") || host.starts_with('/') {
            Docker::connect_with_unix(host, seconds, API_DEFAULT_VERSION)
        } else {
            Docker::connect_with_http(host, seconds, API_DEFAULT_VERSION)
        };
        let docker = docker.map_err(|e| unreachable(error_chain(&e)))?;
        let engine = Engine { docker, settings: settings.clone(), runtime };
        let docker = engine.docker.clone();
        let negotiated = engine.within("agree on a version", docker.negotiate_version())?;
        Ok(Engine { docker: negotiated, ..engine })
    }

    /// All objects of a kind, stopped ones and those of strangers included. The caller decides to whom they
    /// belong, by the whole label and the whole name: the engine's own filter matches any part of a name.
    pub(crate) fn list(&self, kind: DockerKind) -> Result<Vec<DockerObject>, EngineError> {
        let docker = &self.docker;
        match kind {
            DockerKind::Container => {
                let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
                let found = self.within("list containers", docker.list_containers(Some(options)))?;
                Ok(found.into_iter().filter_map(DockerObject::of_container).collect())
            }
            DockerKind::Network => {
                let options = Some(ListNetworksOptions::default());
                let found = self.within("list networks", docker.list_networks(options))?;
                Ok(found.into_iter().filter_map(DockerObject::of_network).collect())
            }
            DockerKind::Volume => {
                let options = Some(ListVolumesOptions::default());
                let found = self.within("list volumes", docker.list_volumes(options))?;
                let volumes = found.volumes.unwrap_or_default();
                Ok(volumes.into_iter().map(DockerObject::of_volume).collect())
            }
        }
    }

    /// Waits for an answer, not longer than the settings allow.
    pub(super) fn within<T>(
        &self,
        what: &str,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, EngineError> {
        self.runtime.block_on(async {
            match tokio::time::timeout(self.settings.timeout, request).await {
                Ok(answer) => answer.map_err(|e| self.understood(&e)),
                Err(_) => Err(self.late(what)),
            }
        })
    }

    pub(super) fn late(&self, what: &str) -> EngineError {
        let seconds = self.settings.timeout.as_secs_f64();
        let why = format!("no answer within {seconds} s to the request to {what}");
        EngineError::Unreachable { host: self.settings.host.clone(), why }
    }

    pub(super) fn understood(&self, error: &Error) -> EngineError {
        match error {
            Error::DockerResponseServerError { status_code: status @ (403 | 409), message } => {
                let why = message.clone();
                // 403: a network that has endpoints. 409: in use, or not removable in its state.
                if *status == 409 || why.contains("active endpoints") {
                    EngineError::InUse { why }
                } else {
                    EngineError::Refused { status: *status, why }
                }
            }
            Error::DockerResponseServerError { status_code, message } => {
                EngineError::Refused { status: *status_code, why: message.clone() }
            }
            other => EngineError::Unreachable { host: self.settings.host.clone(), why: error_chain(other) },
        }
    }
}
