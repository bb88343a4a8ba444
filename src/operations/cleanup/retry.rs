//! `retry cleanup`: tries the failed phases of a cleanup again.

use crate::audit::{Entry as AuditEntry, Trail};
use crate::cleanup::{CleanupPhaseName, CleanupPhaseStatus, CleanupRecord, CreateRefused, list, retry};
use crate::findings::Object;
use crate::operations::prelude::*;
use crate::state::StateDir;

/// Try the parked and failed phases of a cleanup again
///
/// A daemon, or 'cleanup run', does it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct RetryCleanup {
    /// The cleanup
    #[arg(value_name = "ID")]
    #[schemars(length(min = 1))]
    pub cleanup_id: String,
}

/// What is tried again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CleanupRetry")]
#[allow(missing_docs)] // The members are the published form.
pub struct RetryCleanupReport {
    pub cleanup_id: String,
    /// The phases that are tried again; none when nothing had failed.
    pub phases: Vec<CleanupPhaseName>,
    pub dry_run: bool,
}

impl RetryCleanupReport {
    /// The phases by their names, with commas.
    pub fn names(&self) -> String {
        names(&self.phases)
    }
}

impl Operation for RetryCleanup {
    type Report = RetryCleanupReport;

    const ENTRY: Entry = Entry::post(
        &["retry", "cleanup"],
        "/api/admin/cleanup/retry",
        "Tries the failed phases of a cleanup again",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<RetryCleanupReport>, OperationError> {
        let dir = context.state_dir()?;
        let dry_run = context.is_dry_run();
        let phases = if dry_run {
            let has_failed =
                |status| matches!(status, CleanupPhaseStatus::Parked | CleanupPhaseStatus::Failed);
            let record = find_cleanup(&dir, &self.cleanup_id)?;
            record.phases.iter().filter(|p| has_failed(p.status)).map(|p| p.phase).collect()
        } else {
            let (actor, trail) = (context.actor(), Trail::open(&dir)?);
            let phases = retry(&dir, &self.cleanup_id)?;
            let (at, object) = (dir.clock.now(), Object::Cleanup(self.cleanup_id.clone()));
            trail.record(&AuditEntry::done(at, &actor, "retry cleanup", object, names(&phases)))?;
            phases
        };
        Ok(Done::all(RetryCleanupReport { cleanup_id: self.cleanup_id.clone(), phases, dry_run }))
    }
}

/// The record of a cleanup, to be looked at.
pub(super) fn find_cleanup(dir: &StateDir, id: &str) -> Result<CleanupRecord, OperationError> {
    let found = list(dir)?.into_iter().find(|record| record.cleanup_id == id);
    found.ok_or_else(|| CreateRefused::NoSuchCleanup { id: id.to_owned() }.into())
}

fn names(phases: &[CleanupPhaseName]) -> String {
    phases.iter().map(|phase| phase.as_str()).collect::<Vec<_>>().join(", ")
}
