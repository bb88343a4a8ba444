//! The append-only, checksummed log.
//!
//! A folder of segments (`<first sequence number>.log`), `append.lock`, `sync.lock` and `commit.page`.
//!
//! Guarantees: [`Log::append`] returns after its records are synced. Sequence numbers rise by one and are never
//! used again. A record is whole or absent. Damage to a record costs that record only. After a failed sync
//! nothing is acknowledged until the log has been verified ([`Log::verify`]): the kernel marks the pages clean,
//! so that a second sync proves nothing (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX
//! ATC 2020).
//!
//! Segments are preallocated: on journaled ext4 and on xfs a sync of a file that does not grow takes
//! half the time or less. Their reserve reads as zeros, which no record begins with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::error::DiskError;
use super::lock::LockError;
use super::quarantine::Quarantine;

mod frame;
mod handle;
mod read;
mod repair;
mod segment;
mod write;

pub(crate) use frame::LONGEST_LINE;
pub use frame::{Frame, Item, Scan, decode, encode};
pub use handle::Log;
pub use read::{Damage, DamageKind, Position, ReadRequest, ReadSummary, read};
pub(crate) use segment::reassign;
pub use segment::{SegmentFile, SegmentHeader};
pub use write::Locked;

/// The options of a log: its kind and its place.
#[derive(Clone)]
pub struct LogOptions {
    /// Its folder, which exists.
    pub folder: PathBuf,
    /// Its name in the segments' headers.
    pub name: &'static str,
    /// The state directory that it belongs to.
    pub state_id: String,
    /// The boot id: the page that processes share is believed only within one boot.
    pub epoch: String,
    /// Size of a segment, bytes.
    pub segment_bytes: u64,
    /// Whether segments get their full size at once.
    pub preallocate: bool,
    /// The next sequence number is at least this, whatever the files say: a snapshot may hold later records.
    pub min_next_seq: u64,
    /// How long to wait while another process appends.
    pub lock_wait: Duration,
    /// Where the bytes go that are cut from the end.
    pub quarantine: Quarantine,
    /// The present time, for headers and notes.
    pub stamp: Arc<dyn Fn() -> String + Send + Sync>,
}

impl std::fmt::Debug for LogOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogOptions").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Why a log could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Another process holds the lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A sync failed; whether the last records are on disk is not known.
    #[error("the log in {} is unusable since a sync failed; it must be opened again", folder.display())]
    Poisoned { folder: PathBuf },
    /// A record that was synced is no longer in the log: the log was cut.
    #[error("record {seq} is not in the log in {}", folder.display())]
    Gone { folder: PathBuf, seq: u64 },
    /// The lock file or the page that all writers share was removed or replaced.
    #[error("{} was replaced while the log was in use; it must be opened again", path.display())]
    PageReplaced { path: PathBuf },
    /// The payload is longer than any record can be.
    #[error("a record of {bytes} bytes; at most {} fit", frame::LONGEST_PAYLOAD)]
    TooLong {
        /// The payload's length.
        bytes: usize,
    },
}
