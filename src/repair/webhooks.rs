//! Repairs the deliveries: damage of their log, and attempts whose sender died.

use super::action::{DeliveriesCondition, Left, RepairAction};
use super::error::RepairError;
use super::settings::RepairSettings;
use crate::durable::is_held;
use crate::findings::Object;
use crate::queue::Queue;
use crate::recovery::recovery_ends;
use crate::state::{StateDir, human};
use crate::webhooks::{DeliveryLog, DeliveryState, Problems, recover};

pub(super) fn look(
    dir: &StateDir,
) -> Result<(DeliveriesCondition, Vec<RepairAction>, Vec<Left>), RepairError> {
    let mut condition = DeliveriesCondition::default();
    let Some(log) = DeliveryLog::open_if_any(dir)? else { return Ok((condition, Vec::new(), Vec::new())) };
    let problems = log.problems();
    let count = |n: usize| n as u64;
    condition.damaged_records = count(problems.damage.len());
    condition.missing_records = problems.missing.iter().map(|(first, last)| last - first + 1).sum();
    condition.refused_records = count(problems.refused.len() + problems.unknown.len());
    let mut actions = of_files(problems);
    let mut left: Vec<Left> = problems.unknown.iter().map(|seq| of_a_later_version(*seq)).collect();
    // The log is rewritten as a whole, which must not drop records that this version does not understand.
    if !left.is_empty() {
        actions.clear();
    }
    let is_delivering = is_held(&dir.paths.deliver_lock()).unwrap_or(false);
    if is_delivering && !actions.is_empty() {
        actions.clear();
        left.push(Left {
            object: Object::Webhooks,
            reason: "the delivery log is damaged, and another process is delivering: stop the daemon first"
                .to_owned(),
            evidence: vec![format!("{} is held", dir.paths.deliver_lock().display())],
            next: "recoveryctl repair webhooks".to_owned(),
        });
    }
    for (id, progress) in log.state().in_progress() {
        if matches!(progress.standing, DeliveryState::InFlight { .. }) {
            condition.in_flight += 1;
            if !is_delivering {
                actions.push(RepairAction::new(
                    "settle-delivery",
                    Object::Webhook(id.to_string()),
                    "an attempt was under way when its sender died".to_owned(),
                    "record it as interrupted, so that it is tried again".to_owned(),
                ));
            }
        }
    }
    actions.sort_by(|a, b| (&a.action, &a.object).cmp(&(&b.action, &b.object)));
    Ok((condition, actions, left))
}

/// Does the same as the phase `webhooks` of the recovery.
pub(super) fn act(dir: &StateDir, settings: &RepairSettings) -> Result<(), RepairError> {
    let queue = Queue::open(dir)?;
    recover(dir, &settings.webhooks, queue.state(), &recovery_ends(dir))?;
    Ok(())
}

fn of_files(problems: &Problems) -> Vec<RepairAction> {
    let damage = problems.damage.iter().map(|d| {
        RepairAction::new(
            "drop-damaged-record",
            Object::file(&d.path),
            "its checksum does not fit".to_owned(),
            format!(
                "keep {} bytes at offset {} in quarantine, and write what the log says anew",
                d.len, d.offset
            ),
        )
    });
    let missing = problems.missing.iter().map(|(first, last)| {
        RepairAction::new(
            "cover-gap",
            Object::Webhooks,
            format!("{} in no file that can be read", human::numbers("record", *first, *last)),
            "write what the log says anew, behind the gap".to_owned(),
        )
    });
    damage.chain(missing).collect()
}

fn of_a_later_version(seq: u64) -> Left {
    Left {
        object: Object::WebhookRecord(seq.to_string()),
        reason: "this version does not know what it says".to_owned(),
        evidence: vec!["the log is written anew only by a version that understands all of it".to_owned()],
        next: "recoveryctl explain webhook-record-refused".to_owned(),
    }
}
