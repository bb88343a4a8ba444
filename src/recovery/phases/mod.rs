//! The recovery sequence of a state directory.
//!
//! `startup` → `queue` → `jobs` → `locks` → `cleanup` → `orphans`, and `webhooks` after `jobs`. `startup` and
//! `queue` must be over before anything is judged. `jobs` holds the sentinel's lock of every job that it
//! reconciles, which other processes take for a living supervisor: so the repositories' locks are judged
//! after it.

mod cleanup;
mod holders;
mod job_files;
mod job_records;
mod jobs;
mod locks;
mod losses;
mod lost_jobs;
mod orphans;
mod queue;
mod sequence;
mod shared;
mod startup;
mod webhooks;

pub use holders::JobHolders;
pub(crate) use locks::liveness_of;
pub(crate) use queue::repair_queue;
pub use sequence::Recovery;
pub use shared::Settings;
pub(crate) use webhooks::recovery_ends;
