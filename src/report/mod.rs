//! What there is to show: one serde struct a report, the same for text, `--json` and HTTP.
//!
//! Findings have stable codes from [`catalogue`], which `recoveryctl explain` prints. To add a code, add
//! a constant there and to its list `ALL`, and raise it with [`Finding::new`].

pub mod catalogue;
mod finding;
pub mod jobs;
pub mod page;
pub mod queue;
pub mod status;

pub use finding::{Finding, Severity};
