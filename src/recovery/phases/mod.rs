//! The recovery sequence of a state directory: which phases there are, and what each does.
//!
//! `startup` → `queue` → `locks`, `jobs`. `startup` and `queue` must be over before anything is judged;
//! `locks` and `jobs` rest on evidence alone and so run side by side.

mod holders;
mod jobs;
mod locks;
mod queue;
mod sequence;
mod startup;

pub use holders::JobHolders;
pub use locks::liveness_of;
pub use sequence::{Recovery, Settings, recover_queue_of};
