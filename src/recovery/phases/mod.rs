//! The recovery sequence of a state directory: which phases there are, and what each does.
//!
//! `startup` → `queue` → `jobs` → `locks`. `startup` and `queue` must be over before anything is judged.
//! `locks` goes by what `jobs` has found: who holds a sentinel's lock in order to judge looks alive to
//! others, and a job whose claim the log has lost is known as running only afterwards.

mod holders;
mod jobs;
mod locks;
mod queue;
mod sequence;
mod startup;

pub use holders::JobHolders;
pub use locks::liveness_of;
pub use sequence::{Recovery, Settings, recover_queue_of};
