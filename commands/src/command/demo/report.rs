//! The report of the demo.

use serde::Serialize;

use super::check::Check;
use super::facts::Facts;

/// The whole report.
#[derive(Debug, Serialize)]
pub(super) struct DemoReport {
    /// Whether every check held.
    pub(super) ok: bool,
    pub(super) checks: Vec<Check>,
    #[serde(flatten)]
    pub(super) facts: Facts,
    pub(super) duration_ms: u64,
    /// The state directory, when it was kept.
    pub(super) state_dir: Option<String>,
}
