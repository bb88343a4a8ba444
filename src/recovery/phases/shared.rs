//! The state that the phases share, and how they work.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use uuid::Uuid;

use crate::cleanup::CleanupSettings;
use crate::jobs::RecoverSettings;
use crate::orphans::OrphanSettings;
use crate::queue::Queue;
use crate::recovery::PhaseError;
use crate::startup::{StartOptions, StartedBy, Startup, StartupError};
use crate::state::StateDir;

/// Settings of a recovery.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The command that starts it: a daemon, `recover`, `work`.
    pub by: StartedBy,
    /// The actor for the queue's records, and the limits for judging jobs.
    pub jobs: RecoverSettings,
    /// Whether the recovery writes job records; a daemon does that after it is ready.
    pub write_records: bool,
    /// How deliveries are made.
    pub webhooks: crate::webhooks::Settings,
}

/// State that the phases pass on.
pub(super) struct Shared {
    pub(super) dir: StateDir,
    pub(super) settings: Settings,
    pub(super) startup: Mutex<Option<Arc<Startup>>>,
    /// The phases that are tried again, when this is not the whole sequence.
    pub(super) retried: OnceLock<Vec<String>>,
    pub(super) queue: Mutex<Option<Queue>>,
    pub(super) cleaning: Mutex<Cleaning>,
    /// Settings of the scan for orphans; without an engine unless set.
    pub(super) scanning: Mutex<Option<OrphanSettings>>,
}

/// How the phase `cleanup` works.
#[derive(Debug, Clone, Default)]
pub(super) enum Cleaning {
    /// Cleanups are only entered: a daemon works on them after it is ready.
    #[default]
    Later,
    /// Cleanups are done, once each.
    Now(Box<CleanupSettings>),
}

impl Shared {
    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls a function with the queue that the phase `queue` has opened.
    pub(super) fn with_queue<T>(
        &self,
        act: impl FnOnce(&mut Queue) -> Result<T, PhaseError>,
    ) -> Result<T, PhaseError> {
        // Only an abandoned phase can still hold this lock; its dependents have moved on.
        let mut kept = match self.queue.try_lock() {
            Ok(kept) => Some(kept),
            Err(TryLockError::Poisoned(kept)) => Some(kept.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        match kept.as_mut().and_then(|kept| kept.as_mut()) {
            Some(queue) => act(queue),
            None => {
                // The phase was skipped, or is not tried again. The queue is read all the same, because the
                // other phases need it.
                let mut queue =
                    Queue::open(&self.dir).map_err(|e| PhaseError::failed("read the queue", e))?;
                act(&mut queue)
            }
        }
    }

    /// Passes the queue on to the later phases. While an abandoned phase still holds the previous queue, each
    /// of them reads its own.
    pub(super) fn keep_queue(&self, queue: Queue) {
        if let Ok(mut kept) = self.queue.try_lock() {
            *kept = Some(queue);
        }
    }

    /// Returns the startup that is under way; `None` when it could not begin.
    pub(super) fn startup(&self) -> Option<Arc<Startup>> {
        Shared::lock(&self.startup).clone()
    }

    /// Returns the startup. It begins with this phase when the phase `startup` did not begin it: it was
    /// skipped, or only other phases are tried again.
    pub(super) fn startup_in(
        &self,
        phase: &str,
        recovery_id: Uuid,
    ) -> Result<Option<Arc<Startup>>, StartupError> {
        let mut slot = Shared::lock(&self.startup);
        if let Some(startup) = slot.clone() {
            drop(slot);
            startup.enter(phase)?;
            return Ok(Some(startup));
        }
        let retried = self.retried.get().map_or(&[][..], Vec::as_slice);
        let beginning = StartOptions { phase: Some(phase), recovery_id: Some(recovery_id), retried };
        // The phase `startup` reports the error; when that phase is carried over, a startup that cannot begin
        // does not prevent the repair of the rest.
        *slot = Startup::begin_in(&self.dir, self.settings.by, beginning).ok().map(|(s, _)| Arc::new(s));
        Ok(slot.clone())
    }
}
