//! Operations on the queue.

mod metrics;
mod repair;
mod snapshot;
mod status;
mod wal;

pub use metrics::QueueMetricsRequest;
pub use repair::{AssumedDead, RepairAnswer, RepairPart, RepairQueue, RepairRequest};
pub use snapshot::QueueSnapshotRequest;
pub use status::QueueStatusRequest;
pub use wal::WalStatusRequest;
