//! `skip PHASE`: passes a phase of the recovery over, of the one that runs or of the next.

use super::declared;
use crate::audit::{Entry as AuditEntry, Trail};
use crate::findings::Object;
use crate::operations::prelude::*;
use crate::recovery::{PhaseStatus, RecoveryOutcome, RequestError, read_current, request_skip};
use crate::state::StateDir;

/// Pass a recovery phase over, before or while it runs
///
/// Asks the recovery that is under way, or else the next one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct SkipPhase {
    /// The phase
    pub phase: String,
}

/// Whether the phase is passed over.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PhaseSkip")]
#[allow(missing_docs)] // The members are the published form.
pub struct SkipReport {
    pub phase: String,
    /// False when it came too late.
    pub accepted: bool,
    /// How far the phase was.
    pub was: PhaseStatus,
    pub dry_run: bool,
}

impl Operation for SkipPhase {
    type Report = SkipReport;

    const ENTRY: Entry = Entry::post(
        &["skip"],
        "/api/admin/recovery/skip-phase",
        "Passes a phase over, before or while it runs",
    )
    .while_recovering();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<SkipReport>, OperationError> {
        let dir = context.state_dir()?;
        let phases = declared(context, &dir)?.phases();
        let report = match context.is_dry_run() {
            true => self.rehearse(&dir, &phases)?,
            false => self.request(context, &dir, &phases)?,
        };
        Ok(Done::complete_if(report.accepted, report))
    }
}

impl SkipPhase {
    fn request(
        &self,
        context: &Context<'_>,
        dir: &StateDir,
        phases: &[&str],
    ) -> Result<SkipReport, OperationError> {
        let actor = context.actor();
        let trail = Trail::open(dir)?;
        let entry = |detail: String| {
            AuditEntry::done(dir.clock.now(), &actor, "skip", Object::phase(&self.phase), detail)
        };
        match request_skip(dir, phases, &self.phase, &actor.by, actor.why.as_deref()) {
            Ok(answer) => {
                let detail = match answer.accepted {
                    true => format!("accepted; it was {}", answer.was.word()),
                    false => format!("came too late; it was {}", answer.was.word()),
                };
                trail.record(&entry(detail))?;
                let (phase, accepted, was) = (answer.phase, answer.accepted, answer.was);
                Ok(SkipReport { phase, accepted, was, dry_run: false })
            }
            Err(error) => {
                if matches!(error, RequestError::Disk(_)) {
                    trail.record(&entry(String::new()).failed())?;
                }
                Err(error.into())
            }
        }
    }

    fn rehearse(&self, dir: &StateDir, phases: &[&str]) -> Result<SkipReport, OperationError> {
        let phase = self.phase.clone();
        if !phases.contains(&&*phase) {
            let known = phases.iter().map(|&name| name.to_owned()).collect();
            return Err(RequestError::UnknownPhase { name: phase, known }.into());
        }
        let current = read_current(dir).filter(|run| run.outcome == RecoveryOutcome::Running);
        let was = current.and_then(|run| Some(run.phase(&phase)?.status)).unwrap_or(PhaseStatus::Pending);
        Ok(SkipReport { phase, accepted: !was.is_over(), was, dry_run: true })
    }
}
