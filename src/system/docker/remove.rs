//! Removing objects, several at a time; each is proven gone before it counts as removed.

use std::time::{Duration, Instant};

use bollard::errors::Error;
use bollard::query_parameters::{
    InspectContainerOptions, RemoveContainerOptions, RemoveVolumeOptions, StopContainerOptions,
};
use futures_util::StreamExt;

use super::engine::{Engine, EngineError};
use super::object::{DockerKind, DockerObject};

/// The time between two checks of a removal that is under way.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How an object came to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// By this call.
    Removed,
    /// It was gone already, or another client removed it in the meantime.
    AlreadyGone,
}

impl Engine {
    /// Removes objects, each by its full id. A container is asked to end and then killed; its anonymous
    /// volumes go with it. `done` is called with each result, in any order.
    pub(crate) fn remove_all(
        &self,
        objects: &[DockerObject],
        done: &mut dyn FnMut(&DockerObject, Result<Removal, EngineError>),
    ) {
        // All running containers get their signal at once, because they only wait until their time is over.
        let parallel = self.settings.parallel.max(1);
        self.runtime.block_on(async {
            let removals = objects.iter().map(|object| async move { (object, self.remove(object).await) });
            let mut settled = futures_util::stream::iter(removals).buffer_unordered(parallel);
            while let Some((object, result)) = settled.next().await {
                done(object, result);
            }
        });
    }

    async fn remove(&self, object: &DockerObject) -> Result<Removal, EngineError> {
        match object.kind {
            DockerKind::Container => self.remove_container(object).await,
            DockerKind::Network => {
                let call = self.docker.remove_network(&object.id);
                self.settled(self.limited("remove a network", call).await)
            }
            DockerKind::Volume => {
                let options = Some(RemoveVolumeOptions { force: false });
                let call = self.docker.remove_volume(&object.id, options);
                self.settled(self.limited("remove a volume", call).await)
            }
        }
    }

    async fn remove_container(&self, object: &DockerObject) -> Result<Removal, EngineError> {
        if object.is_living() && !self.settings.stop_timeout.is_zero() {
            let t = i32::try_from(self.settings.stop_timeout.as_secs()).unwrap_or(i32::MAX);
            let options = Some(StopContainerOptions { t: Some(t), ..StopContainerOptions::default() });
            let call = self.docker.stop_container(&object.id, options);
            match tokio::time::timeout(self.settings.timeout + self.settings.stop_timeout, call).await {
                Err(_) => return Err(self.late("stop a container")),
                Ok(Err(Error::DockerResponseServerError { status_code: 404, .. })) => {
                    return Ok(Removal::AlreadyGone);
                }
                // Whatever kept it from stopping, the removal kills it.
                Ok(Ok(()) | Err(Error::DockerResponseServerError { .. })) => {}
                Ok(Err(e)) => return Err(self.understood(&e)),
            }
        }
        let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
        let call = self.docker.remove_container(&object.id, Some(options));
        match self.limited("remove a container", call).await {
            Ok(Err(Error::DockerResponseServerError { status_code: 409, message }))
                if message.contains("already in progress") =>
            {
                self.wait_until_gone(object).await
            }
            other => self.settled(other),
        }
    }

    /// Waits for a removal by another client: the object is gone when the engine does not know it any more.
    async fn wait_until_gone(&self, object: &DockerObject) -> Result<Removal, EngineError> {
        let begun = Instant::now();
        while begun.elapsed() < self.settings.timeout {
            let options = Some(InspectContainerOptions::default());
            let call = self.docker.inspect_container(&object.id, options);
            match self.limited("look at a container", call).await? {
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
                    return Ok(Removal::AlreadyGone);
                }
                Err(e) => return Err(self.understood(&e)),
                Ok(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
        Err(EngineError::InUse { why: "its removal is in progress and does not end".to_owned() })
    }

    async fn limited<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, Error>, EngineError> {
        tokio::time::timeout(self.settings.timeout, call).await.map_err(|_| self.late(what))
    }

    fn settled(&self, answer: Result<Result<(), Error>, EngineError>) -> Result<Removal, EngineError> {
        match answer? {
            Ok(()) => Ok(Removal::Removed),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(Removal::AlreadyGone),
            Err(e) => Err(self.understood(&e)),
        }
    }
}
