//! Operations on startups.

mod cleanup_log;
mod clear;
mod detection;
mod history;
mod log;

pub use cleanup_log::CleanupLogRequest;
pub use clear::{ClearReport, ClearStartup};
pub use detection::StartupDetectionRequest;
pub use history::StartupHistoryRequest;
pub use log::StartupLogRequest;
