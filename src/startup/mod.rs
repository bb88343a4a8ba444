//! Startups: which one is under way, how those before ended, and what an aborted one left behind.
//!
//! `startup/startup.lock` is flocked by the process whose startup is under way; that alone says whether a
//! marker's owner lives. `startup/marker.json` is replaced before each phase begins, so that a crash is
//! blamed on the right one, and removed last. `startup/history.json` and `startup/cleanup-log.json` are
//! written only through [`Startup`], that is, with the flock held.

mod cleanup;
mod cleanup_log;
mod detect;
mod history;
mod marker;
mod misplaced;
mod stored;
mod under_way;

pub use cleanup::{Cleanup, clean_up};
pub use cleanup_log::{CleanupEntry, cleanup_log};
pub use detect::{Detection, detect};
pub use history::{StartupEntry, StartupOutcome, consecutive_aborts, history};
pub use marker::{Marker, StartedBy};
pub use misplaced::put_misplaced_away;
pub use under_way::{Startup, StartupError};
