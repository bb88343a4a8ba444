//! The reports: one serde struct each, the same for text, `--json` and HTTP.

pub mod attempts;
pub mod audit;
pub mod change;
pub mod cleanup;
pub mod dashboard;
pub mod failed;
pub mod findings;
pub mod health;
mod held;
pub mod job_metrics;
pub mod jobs;
pub mod locks;
pub mod orphans;
pub mod page;
pub mod past_proof;
pub mod queue;
pub mod reattachment;
pub mod recovery;
pub mod sentinels;
pub mod startup;
pub mod state;
pub mod status;
mod waiting;
pub mod webhooks;
pub mod why_job;
pub mod why_lock;
pub mod why_orphan;

pub use held::held_repositories;
pub(crate) use held::lock_of;
use held::with_liveness;
