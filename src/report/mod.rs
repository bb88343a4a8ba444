//! What there is to show: one serde struct a report.

mod finding;

pub use finding::{Finding, Severity};
