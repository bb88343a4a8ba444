//! Operations on jobs.

pub mod ids;
pub(super) mod list;

pub use list::ListJobs;
