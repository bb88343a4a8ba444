//! Brings a batch-job server back after any crash: nothing acknowledged is lost, nothing alive is
//! deleted, nothing runs twice at once, and every verdict comes with its evidence.
//!
//! The library neither prints nor reads the environment; the edges (`commands/`, `tui/`) do. Start with
//! `ARCHITECTURE.md`.

pub mod archive;
pub mod audit;
pub mod cleanup;
pub mod daemon;
pub mod durable;
pub mod findings;
pub mod import;
pub mod in_use;
pub mod jobs;
pub mod locks;
pub mod logging;
pub mod losses;
pub mod operations;
pub mod orphans;
pub mod prune;
pub mod queue;
pub mod recovery;
pub mod repair;
pub mod report;
pub mod startup;
pub mod state;
pub mod system;
pub mod webhooks;
