//! Enters the losses that a recovery finds into the list of losses, with the marks of the logs.

use crate::findings::Finding;
use crate::losses::{LossCheck, Losses};
use crate::recovery::PhaseError;
use crate::state::StateDir;

/// Enters losses into their list, with the marks of the logs. A disk that cannot be written is reported
/// elsewhere.
pub(super) fn record_losses(
    dir: &StateDir,
    by: &str,
    findings: &[Finding],
    end_of_queue: Option<u64>,
) -> Result<(), PhaseError> {
    let mut look = LossCheck::take(dir, &known_losses(dir)?).with(findings);
    end_of_queue.into_iter().for_each(|last_seq| look.mark_queue(last_seq));
    match look.record(dir, by) {
        Err(e) if e.refused_change().is_none() => {
            Err(PhaseError::failed("enter what is lost into the list of losses", e))
        }
        _ => Ok(()),
    }
}

/// Returns a finding when the queue's log ends before the number that was noted for it.
pub(super) fn lost_end(dir: &StateDir, last_seq: u64) -> Result<Vec<Finding>, PhaseError> {
    Ok(LossCheck::default().at_queue(dir, &known_losses(dir)?, last_seq).findings)
}

/// Returns the number of the queue's last record that a recovery noted; 0 when there was none.
pub(super) fn noted_end(dir: &StateDir) -> Result<u64, PhaseError> {
    Ok(known_losses(dir)?.marks.get("queue").copied().unwrap_or(0))
}

fn known_losses(dir: &StateDir) -> Result<Losses, PhaseError> {
    Losses::read(dir).map_err(|e| PhaseError::failed("read the list of losses", e))
}
