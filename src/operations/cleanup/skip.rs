//! `cleanup skip`: passes a phase of a cleanup over for good.

use super::retry::find_cleanup;
use crate::audit::{Entry as AuditEntry, Trail};
use crate::cleanup::{CleanupPhaseName, CleanupPhaseStatus, skip};
use crate::findings::Object;
use crate::operations::arguments::word_of;
use crate::operations::prelude::*;

/// Pass a phase of a cleanup over for good
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct SkipCleanupPhase {
    /// The cleanup
    #[arg(value_name = "CLEANUP")]
    pub cleanup: String,
    /// The phase
    #[arg(value_name = "PHASE", value_parser = word_of::<CleanupPhaseName>(["cidx", "docker", "filesystem"]))]
    pub phase: CleanupPhaseName,
}

/// Whether the phase is passed over.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form.
pub struct CleanupPhaseSkip {
    pub cleanup_id: String,
    pub phase: CleanupPhaseName,
    pub was: CleanupPhaseStatus,
    /// False when it came too late.
    pub accepted: bool,
    pub dry_run: bool,
}

impl Operation for SkipCleanupPhase {
    type Report = CleanupPhaseSkip;

    const ENTRY: Entry = Entry::local(Method::Post, &["cleanup", "skip"]);

    fn run(&self, context: &mut Context<'_>) -> Result<Done<CleanupPhaseSkip>, OperationError> {
        let dir = context.state_dir()?;
        let dry_run = context.is_dry_run();
        let was = if dry_run {
            let record = find_cleanup(&dir, &self.cleanup)?;
            record.phase(self.phase).map_or(CleanupPhaseStatus::Pending, |p| p.status)
        } else {
            let (actor, trail) = (context.actor(), Trail::open(&dir)?);
            let was = skip(&dir, &self.cleanup, self.phase, &actor)?;
            let detail = format!("phase {}; it was {}", self.phase.as_str(), was.as_str());
            let (at, object) = (dir.clock.now(), Object::Cleanup(self.cleanup.clone()));
            trail.record(&AuditEntry::done(at, &actor, "cleanup skip", object, detail))?;
            was
        };
        let (cleanup_id, phase, accepted) = (self.cleanup.clone(), self.phase, !was.is_over());
        let report = CleanupPhaseSkip { cleanup_id, phase, was, accepted, dry_run };
        Ok(Done::complete_if(accepted, report))
    }
}
