//! Files that survive: atomic replacement, the append-only checksummed log, locks, quarantine.
//!
//! Knows nothing of jobs. Every change of the disk passes one seam ([`Disk`]), so that crash tests can
//! record it, refuse it and rebuild what a power loss would have left.

mod abandoned;
mod ability;
mod backoff;
mod disk;
mod error;
mod error_chain;
mod flock;
mod home;
mod lock;
pub mod log;
mod noreplace;
mod page_guard;
pub mod plain;
mod quarantine;
mod regular;
mod replace;
pub(crate) mod sealed;
pub mod seeded_bug;
mod shared_page;
pub mod tree;
mod weakness;

pub use abandoned::{Abandoned, is_temporary_name, remove_abandoned};
pub use ability::{Unable, try_abilities};
pub use backoff::Backoff;
pub use disk::{Disk, DiskFile, Effect, Observer};
pub(crate) use error::IoContext;
pub use error::{DiskError, read_optional};
pub use error_chain::{causes, error_chain};
pub use home::{Home, NotHome};
pub(crate) use lock::try_lock;
pub use lock::{FileLock, Holder, LockError, Taken, holder_of, is_held};
pub use quarantine::{Quarantine, QuarantineNote};
pub use regular::{
    NotRegular, NotSole, TooLong, is_not_regular, open_regular, open_sole, open_theirs, read_at_most,
    read_regular,
};
pub(crate) use replace::write_in_place;
pub use replace::{TEMPORARY_PREFIX, Unpublished, create, create_many, replace, replace_with};
pub use weakness::{has_weakness, is_weakness};
