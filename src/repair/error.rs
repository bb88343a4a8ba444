//! Why a repair cannot go on.

use crate::durable::{DiskError, LockError};
use crate::jobs::RecoverError;
use crate::queue::QueueError;
use crate::recovery::PhaseError;
use crate::webhooks::{DeliveryLogError, EngineError};

/// Why a repair could not go on. What was done before stays done; the next run finds the rest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// A recovery, or another repair, is under way.
    #[error("a recovery or a repair is under way")]
    Busy(#[source] LockError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// Jobs could not be judged.
    #[error(transparent)]
    Jobs(#[from] RecoverError),
    /// The queue's files could not be repaired.
    #[error(transparent)]
    Phase(#[from] PhaseError),
    /// The delivery log could not be used.
    #[error(transparent)]
    DeliveryLog(#[from] DeliveryLogError),
    /// The delivery log could not be repaired.
    #[error(transparent)]
    Deliveries(#[from] EngineError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}
