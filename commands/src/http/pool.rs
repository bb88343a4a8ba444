//! The threads on which requests touch the disk.

use std::sync::Arc;

use recovery::daemon::Role;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Span;

use super::problem::Problem;

/// How many reads and writes run at a time.
const LOOKS: usize = 16;
const WRITES: usize = 32;
/// Commands that a client follows, such as `jobs output -f`: of those who may do everything, and of those who look.
const FOLLOWED: usize = 64;
const FOLLOWED_BY_VIEWERS: usize = 32;
/// All that run at a time.
pub(super) const MOST: usize = LOOKS + WRITES + FOLLOWED + FOLLOWED_BY_VIEWERS;

/// Threads for what may wait for a disk, a bounded number of each kind.
pub(super) struct Pool {
    looks: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    followed: Arc<Semaphore>,
    followed_by_viewers: Arc<Semaphore>,
}

impl Pool {
    pub(super) fn new() -> Pool {
        let of = |n| Arc::new(Semaphore::new(n));
        let (followed, followed_by_viewers) = (of(FOLLOWED), of(FOLLOWED_BY_VIEWERS));
        Pool { looks: of(LOOKS), writes: of(WRITES), followed, followed_by_viewers }
    }

    /// The right to carry out one command that a client follows; `None` when all others' go on.
    pub(super) fn follow(&self, role: Role) -> Option<OwnedSemaphorePermit> {
        let slots = match role {
            Role::Admin => &self.followed,
            Role::Viewer => &self.followed_by_viewers,
        };
        slots.clone().try_acquire_owned().ok()
    }

    /// Runs a look.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        run_on(&self.looks, act).await
    }

    /// Runs a write: apart from the looks, so that neither waits for the other.
    pub(super) async fn run_write<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        run_on(&self.writes, act).await
    }
}

async fn run_on<T: Send + 'static>(
    slots: &Arc<Semaphore>,
    act: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let slot = slots.clone().acquire_owned().await;
    let span = Span::current();
    let ran = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        span.in_scope(act)
    });
    ran.await.map_err(|e| Problem::new(500, "internal", "internal", format!("it broke off: {e}")))
}
