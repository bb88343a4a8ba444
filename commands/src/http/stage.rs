//! How far the daemon is, for those who wait for it and for probes.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How far a daemon is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It recovers.
    Recovering,
    /// It takes jobs.
    Ready,
    /// It is up and takes none until somebody acts.
    SafeMode,
    /// It ends.
    Ending,
}

impl Stage {
    /// As written.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Stage::Recovering => "recovering",
            Stage::Ready => "ready",
            Stage::SafeMode => "safe_mode",
            Stage::Ending => "ending",
        }
    }
}

/// Waits until the recovery is over, but not for ever; whether it is.
pub(super) async fn recovered(stage: &watch::Sender<Stage>, patience: Duration) -> bool {
    let mut changes = stage.subscribe();
    let until = tokio::time::Instant::from_std(Instant::now() + patience);
    let over = changes.wait_for(|stage| *stage != Stage::Recovering);
    tokio::time::timeout_at(until, over).await.is_ok()
}
