//! Phase `webhooks`: makes deliveries that were under way pending again, repairs the delivery log, and
//! reports undelivered ones.

use super::shared::Shared;
use crate::findings::{Finding, Object, catalogue};
use crate::recovery::{
    DegradedResource, HistoryEntry, PhaseContext, PhaseError, PhaseOutcome, RecoveryOutcome, read_history,
};
use crate::state::StateDir;
use crate::webhooks::findings::problem_findings;
use crate::webhooks::{self, RecoveryEnd, RecoveryFacts, Was};

pub(super) fn run(shared: &Shared, context: &PhaseContext) -> Result<PhaseOutcome, PhaseError> {
    context.check_interrupted()?;
    let ends = recovery_ends(&shared.dir);
    let recovered = shared.with_queue(|queue| {
        queue.refresh().map_err(|e| PhaseError::failed("read the queue", e))?;
        webhooks::recover(&shared.dir, &shared.settings.webhooks, queue.state(), &ends)
            .map_err(|e| PhaseError::failed("recover the deliveries", e))
    })?;
    context.total(recovered.total);
    context.advance(recovered.total);
    context.count("webhooks.found", recovered.total);
    context.count("webhooks.in_flight", recovered.in_flight);
    context.detail("webhooks", serde_json::to_value(&recovered).unwrap_or_default());
    Ok(outcome(&recovered))
}

fn outcome(found: &webhooks::DeliveryLogRecovery) -> PhaseOutcome {
    let meanwhile = if found.was_delivering { "; another process is delivering" } else { "" };
    let kinds = [
        (found.pending, "never tried"),
        (found.in_flight, "under way when their sender died"),
        (found.waiting, "waiting"),
        (found.parked, "parked"),
    ];
    let kinds = kinds.into_iter().filter(|(n, _)| *n > 0).map(|(n, kind)| format!("{n} {kind}"));
    let kinds: Vec<String> = kinds.collect();
    let mut outcome = PhaseOutcome::with_message(match found.total {
        0 => format!("nothing to deliver{meanwhile}"),
        total => format!("{total} undelivered: {}{meanwhile}", kinds.join(", ")),
    });
    outcome.findings = problem_findings(&found.problems);
    let lost = found.deliveries.iter().filter(|d| d.was == Was::InFlight);
    outcome.findings.extend(lost.take(if found.was_delivering { 0 } else { 20 }).map(|d| {
        let sentence = format!("an attempt to {} was under way when its sender died; it is repeated", d.url);
        Finding::new(&catalogue::WEBHOOK_INTERRUPTED, Object::Webhook(d.delivery_id.to_string()), sentence)
    }));
    if found.problems.is_damaged() && found.was_delivering {
        let why = "the delivery log is damaged, and another process is delivering, so it was not repaired"
            .to_owned();
        outcome.degraded.push(DegradedResource { object: Object::Webhooks, why });
    }
    outcome
}

/// Returns the completed recoveries as events for receivers. The list is empty when their record cannot be
/// read: the next recovery begins a new one.
pub(crate) fn recovery_ends(dir: &StateDir) -> Vec<RecoveryEnd> {
    read_history(dir).unwrap_or_default().iter().filter_map(recovery_end).collect()
}

fn recovery_end(entry: &HistoryEntry) -> Option<RecoveryEnd> {
    if entry.outcome == RecoveryOutcome::Running {
        return None;
    }
    let mut findings = std::collections::BTreeMap::new();
    for (code, count) in entry.phases.iter().flat_map(|p| &p.codes) {
        *findings.entry(code.clone()).or_default() += count;
    }
    Some(RecoveryEnd {
        at: entry.ended_at?,
        is_degraded: entry.outcome != RecoveryOutcome::Completed,
        found_orphans: findings.keys().any(|code: &String| code.starts_with("orphan")),
        facts: RecoveryFacts {
            recovery_id: entry.recovery_id,
            outcome: entry.outcome.word().to_owned(),
            purpose: entry.purpose.clone(),
            started_at: entry.started_at,
            duration_ms: entry.duration_ms,
            degraded: entry.degraded,
            findings,
        },
    })
}
