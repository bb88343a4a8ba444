//! Files that survive: atomic replacement, the append-only checksummed log, locks, quarantine.
//!
//! This module knows nothing of jobs. Every change of the disk passes one seam ([`Disk`]), so that crash tests
//! can record it, refuse it, and rebuild what a power loss would have left.

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

pub use abandoned::is_temporary_name;
pub(crate) use abandoned::{Abandoned, remove_abandoned};
pub(crate) use ability::{Unable, try_abilities};
pub use backoff::Backoff;
pub use disk::{Disk, DiskFile, Effect, Observer};
pub use error::DiskError;
pub(crate) use error::{IoContext, read_optional};
pub(crate) use error_chain::causes;
pub use error_chain::error_chain;
pub use home::{Home, NotHome};
pub use lock::{FileLock, Holder, LockError, holder_of, is_held};
pub(crate) use lock::{Taken, try_lock};
pub use quarantine::{Quarantine, QuarantineNote};
pub use regular::TooLong;
pub(crate) use regular::{is_not_regular, open_regular, open_theirs, read_at_most, read_regular};
pub use replace::{Survives, TEMPORARY_PREFIX, create, replace, replace_with};
pub(crate) use replace::{create_many, replace_to, write_in_place};
pub use weakness::has_weakness;
pub(crate) use weakness::is_weakness;
