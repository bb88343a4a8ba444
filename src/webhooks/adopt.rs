//! The deliveries of a copy that is adopted as another state directory.
//!
//! A delivery's id is derived from the state directory's: in another one every past delivery would be new. So
//! the log is replaced, in one piece, by one with the new ids: settled deliveries stay settled, and the
//! others wait for an operator, because the original sends them.

use uuid::Uuid;

use super::derive::{Deriver, RecoveryEnd};
use super::log::{DeliveryLog, DeliveryLogError};
use super::record::{DeliveryProgress, DeliveryState, Operation};
use super::settings::Endpoint;
use crate::queue::QueueState;
use crate::state::StateDir;

/// Why the original's open deliveries wait for an operator in the copy.
const HELD: &str = "held: the original of this state directory sends it";
/// How many ids one record holds.
const A_RECORD: usize = 500;

/// Rewrites the log for a directory with this id; returns how many deliveries wait for an operator. The state
/// directory still has the original's id.
pub(crate) fn hold_for_another(
    dir: &StateDir,
    id: Uuid,
    queue: &QueueState,
    endpoints: &[Endpoint],
    recoveries: &[RecoveryEnd],
) -> Result<usize, DeliveryLogError> {
    let mut log = DeliveryLog::open(dir)?;
    let held = log.decide(&mut |_| {}, |state, _| {
        let since = state.endpoints().clone();
        let mut before = Deriver::new(dir.identity.state_id, endpoints, &since);
        let mut after = Deriver::new(id, endpoints, &since);
        let (mut open, mut settled) = (Vec::new(), Vec::new());
        let mut is_done = false;
        let mut pair = |old: Vec<super::Delivery>, new: Vec<super::Delivery>| {
            for (old, new) in old.iter().zip(&new) {
                is_done |= state.progress(new.id).is_some() || state.is_settled(new.id);
                if state.is_settled(old.id) { settled.push(new.id) } else { open.push(new.id) }
            }
        };
        queue.jobs().for_each(|job| pair(before.of_job(job), after.of_job(job)));
        recoveries.iter().for_each(|end| pair(before.of_recovery(end), after.of_recovery(end)));
        // An earlier try that was interrupted has written the log already.
        if is_done || open.is_empty() && settled.is_empty() {
            return (Vec::new(), 0);
        }
        let progress = DeliveryProgress {
            attempts: 1,
            tries: 0,
            standing: DeliveryState::Parked { refused: false },
            last_error: Some(HELD.into()),
        };
        let kept = open.iter().map(|&delivery| Operation::Kept { delivery, progress: progress.clone() });
        let settled = settled
            .chunks(A_RECORD)
            .map(|ids| Operation::KeptSettled { deliveries: ids.to_vec(), discarded: false });
        let since =
            since.iter().map(|(name, since)| Operation::KeptEndpoint { name: name.clone(), since: *since });
        let kept: Vec<Operation> = kept.chain(settled).chain(since).collect();
        let end = Operation::CompactionEnd { records: kept.len() as u64 };
        (std::iter::once(Operation::CompactionBegin).chain(kept).chain([end]).collect(), open.len())
    })?;
    log.commit()?;
    Ok(held)
}
