//! The undelivered deliveries: those derived from the queue, less those that the log has as settled.

use std::collections::BTreeMap;

use super::delivery::Delivery;
use super::derive::{Deriver, RecoveryEnd, ids_of_job};
use super::log::{DeliveryLog, DeliveryLogError, DeliveryView, Problems};
use super::record::{DeliveryProgress, DeliveryState};
use super::settings::Endpoint;
use super::state::{Circuit, DeliveryLogState};
use crate::queue::{Job, QueueState};
use crate::state::{StateDir, Timestamp};

/// An undelivered delivery.
#[derive(Debug, Clone)]
pub struct Undelivered {
    pub delivery: Delivery,
    /// Its progress; `None` when it was never tried.
    pub progress: Option<DeliveryProgress>,
}

impl Undelivered {
    /// Whether the delivery would be sent now: its endpoint asked for no pause, and its own pause is over.
    pub(crate) fn is_due(&self, survey: &Survey) -> bool {
        let endpoint = &self.delivery.target.endpoint;
        let own = self.progress.as_ref().and_then(|c| match c.standing {
            DeliveryState::Waiting { next_try_at, .. } => Some(next_try_at),
            _ => None,
        });
        let wished = survey.retry_after.get(endpoint).copied();
        let circuit = survey.circuits.get(endpoint).map(|c| c.open_until);
        let is_over = |until: Timestamp| until <= survey.at;
        !self.is_parked() && [own, wished, circuit].into_iter().flatten().all(is_over)
    }

    /// Whether the delivery waits for an operator.
    pub(crate) fn is_parked(&self) -> bool {
        self.progress.as_ref().is_some_and(|c| matches!(c.standing, DeliveryState::Parked { .. }))
    }
}

/// The undelivered deliveries at one moment.
#[derive(Debug, Default)]
pub struct Survey {
    /// When the survey was taken.
    pub at: Timestamp,
    /// All undelivered deliveries, the oldest first.
    pub undelivered: Vec<Undelivered>,
    /// The endpoints to which nothing is sent for a while.
    pub circuits: BTreeMap<String, Circuit>,
    /// The endpoints that asked for a pause, and until when.
    pub retry_after: BTreeMap<String, Timestamp>,
    /// Damage of the delivery log.
    pub problems: Problems,
}

impl Survey {
    /// Takes a survey. Where nothing was ever delivered, no file is made.
    ///
    /// # Errors
    /// The delivery log cannot be read. Damage is no error.
    pub fn take(
        dir: &StateDir,
        queue: &QueueState,
        endpoints: &[Endpoint],
        recoveries: &[RecoveryEnd],
    ) -> Result<Survey, DeliveryLogError> {
        let log = DeliveryLog::open_if_any(dir)?;
        let nothing = DeliveryLogState::default();
        let state = log.as_ref().map_or(&nothing, DeliveryView::state);
        let mut derived = Deriver::new(dir.identity.state_id, endpoints, state.endpoints());
        let mut undelivered = undelivered_of(&mut derived, state, queue, recoveries);
        undelivered.sort_by_key(|u| u.delivery.order());
        let at = dir.clock.now();
        let retry_after = state.retry_after().iter().filter(|(_, until)| **until > at);
        Ok(Survey {
            at,
            undelivered,
            retry_after: retry_after.map(|(endpoint, until)| (endpoint.clone(), *until)).collect(),
            circuits: state.circuits().clone(),
            problems: log.as_ref().map(|l| l.problems().clone()).unwrap_or_default(),
        })
    }
}

/// Returns the deliveries that follow from events and have not arrived, in no order.
pub(super) fn undelivered_of(
    deriver: &mut Deriver<'_>,
    state: &DeliveryLogState,
    queue: &QueueState,
    recoveries: &[RecoveryEnd],
) -> Vec<Undelivered> {
    let mut found = Vec::new();
    let mut take = |deliveries: Vec<Delivery>| {
        let open = deliveries.into_iter().filter(|d| !state.is_settled(d.id));
        found.extend(open.map(|d| Undelivered { progress: state.progress(d.id).cloned(), delivery: d }));
    };
    queue.jobs().for_each(|job| take(deriver.of_job(job)));
    recoveries.iter().for_each(|end| take(deriver.of_recovery(end)));
    found
}

/// Returns how many of a job's deliveries have not arrived, parked ones included. While there are any, the
/// job must stay in the queue, because they are derived from it. An operator can give parked ones up.
pub(crate) fn undelivered(
    dir: &StateDir,
    state: &DeliveryLogState,
    since: &BTreeMap<String, Timestamp>,
    job: &Job,
) -> usize {
    let of_callbacks = ids_of_job(dir.identity.state_id, job, &[]);
    // Deliveries that were tried for an endpoint are completed, even if it is no longer configured.
    let names: Vec<&String> = since.keys().collect();
    let tried = ids_of_job(dir.identity.state_id, job, &names);
    let tried = tried.into_iter().filter(|id| !of_callbacks.contains(id) && state.progress(*id).is_some());
    of_callbacks.iter().filter(|id| !state.is_settled(**id)).count() + tried.count()
}
