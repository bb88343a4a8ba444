//! What there is to show: one serde struct a report, the same for text, `--json` and HTTP.
//!
//! Findings have stable codes from [`catalogue`], which `recoveryctl explain` prints. To add a code, add
//! a constant to the table of its area and to the list `ALL` there, and raise it with [`Finding::new`].

pub mod attempts;
pub mod audit;
pub mod catalogue;
pub mod change;
pub mod cleanup;
pub mod dashboard;
pub mod failed;
mod finding;
pub mod findings;
pub mod health;
mod held;
pub mod job_findings;
pub mod job_metrics;
pub mod jobs;
pub mod locks;
pub mod losses;
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
pub mod webhooks;
pub mod why_job;
pub mod why_lock;
pub mod why_orphan;

pub use finding::{Finding, Severity, shell_word};
use held::with_liveness;
pub use held::{held_repositories, lock_of};
