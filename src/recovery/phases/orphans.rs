//! Phase `orphans`: finds orphans and saves the plan. It removes nothing: an operator, or cron, decides that.

use super::locks::liveness_of;
use super::shared::Shared;
use crate::jobs::{JudgeContext, ProcessTable};
use crate::orphans::{OrphanSettings, ScanContext, ScanError, rescan};
use crate::queue::{Claim, Job, JobId};
use crate::recovery::{PhaseContext, PhaseError, PhaseOutcome};
use crate::state::human;
use crate::system::Host;

pub(super) fn run(shared: &Shared, context: &PhaseContext) -> Result<PhaseOutcome, PhaseError> {
    context.check_interrupted()?;
    let settings = Shared::lock(&shared.scanning).clone();
    let settings = settings.unwrap_or_else(|| OrphanSettings::new(shared.settings.jobs.actor.clone()));
    shared.with_queue(|queue| {
        queue.refresh().map_err(|e| PhaseError::failed("read the queue", e))?;
        let running: Vec<Job> = queue.state().running().cloned().collect();
        let (host, table) = (Host::this(), ProcessTable::new());
        let look = JudgeContext {
            dir: &shared.dir,
            host: &host,
            table: &table,
            limits: shared.settings.jobs.limits,
        };
        let liveness = |id: &JobId, claim: Claim| liveness_of(&look, &running, id, claim);
        let world = ScanContext::look(&shared.dir, &settings, queue)
            .map_err(|e| PhaseError::failed("look for what could own something", e))?;
        let plan = match rescan(&world, &liveness) {
            Ok(plan) => plan,
            // The process that scans at this moment makes the plan.
            Err(ScanError::Lock(crate::durable::LockError::Held { .. })) => {
                return Ok(PhaseOutcome::with_message("another scan is under way"));
            }
            Err(e) => return Err(PhaseError::failed("look for orphans", e)),
        };
        let kinds = plan.scanned.len() as u64;
        context.total(kinds);
        context.advance(kinds);
        let (total, protected) = (plan.candidates.len(), plan.protected_total());
        let message = match total {
            0 => "nothing found".to_owned(),
            _ => format!("{total} found, {protected} of them protected, {}", human::size(plan.bytes_total())),
        };
        Ok(PhaseOutcome { findings: plan.findings(), message: Some(message), ..PhaseOutcome::default() })
    })
}
