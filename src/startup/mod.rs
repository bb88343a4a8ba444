//! Startups: the one under way, how past ones ended, and the cleaning after an aborted one.
//!
//! `startup/startup.lock` is flocked by the process whose startup is under way; that alone says whether a
//! marker's owner lives. `startup/marker.json` is replaced before each phase begins, so that a crash is
//! blamed on the right phase, and removed last. `startup/log/` is an append-only log of the events of
//! startups: how each ended, each act of cleaning, when safe mode began and who ended it. Only `cleared` is
//! written without the flock.
//!
//! Everything that is reported about startups is derived from that log and the marker: the history, the
//! number of aborts in a row, whether it is a crash loop ([`SafeMode`]).
//!
//! **Layouts.** The log is layout 2's; see `layout_1.rs` for the earlier one, `migrate.rs` for its migration.

mod cleanup;
mod cleanup_log;
mod crash_loop;
mod detect;
mod error;
mod history;
mod last_turn;
mod layout_1;
mod log;
mod marker;
mod migrate;
mod misplaced;
pub(crate) mod origin;
mod record;
mod under_way;

pub use cleanup::{Cleanup, clean_up, remove_half_made};
pub use cleanup_log::cleanup_log;
pub use crash_loop::{SafeMode, safe_mode};
pub use detect::{Detection, detect};
pub use error::StartupError;
pub use history::{consecutive_aborts, history};
pub use last_turn::TurnWriter;
pub(crate) use last_turn::last_turn;
pub(crate) use log::StartupLog;
pub use log::{STARTUPS_KEPT, clear};
pub use marker::StartedBy;
pub use migrate::Migrated;
pub(crate) use misplaced::put_misplaced_away;
pub use record::{CleanupEntry, StartupEntry, StartupOutcome};
pub use under_way::{StartOptions, StartReport, Startup};
