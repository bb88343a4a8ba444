//! The endpoints, a file a resource.

mod cleanup;
mod jobs;
mod locks;
mod orphans;
mod queue;
mod recovery;
mod startup;
mod trail;
mod webhooks;

use super::endpoint::Endpoint;

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Endpoint> {
    let resources = [
        queue::ENDPOINTS,
        jobs::ENDPOINTS,
        cleanup::ENDPOINTS,
        startup::ENDPOINTS,
        locks::ENDPOINTS,
        orphans::ENDPOINTS,
        recovery::ENDPOINTS,
        webhooks::ENDPOINTS,
        trail::ENDPOINTS,
    ];
    resources.into_iter().flatten()
}
