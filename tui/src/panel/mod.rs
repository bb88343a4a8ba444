//! What each view tells: a file a panel, which makes a list, or a document, out of a report of the library.
//! How it is drawn is in [`crate::view`].

pub mod audit;
pub mod cleanup;
pub mod finding;
pub mod job;
pub mod jobs;
pub mod locks;
pub mod orphans;
pub mod overview;
pub mod queue;
pub mod startup;
pub mod webhooks;
