//! A recovery's work on deliveries: repairs the log, finds attempts that were under way when their sender
//! died, and reports undelivered ones.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::delivery::{DeliveryId, Event};
use super::derive::{Deriver, RecoveryEnd, ids_of_job, ids_of_recovery};
use super::engine::{EngineError, interrupt_lost, take_lock};
use super::log::{DeliveryLog, Problems};
use super::record::DeliveryState;
use super::settings::Settings;
use super::survey::{Undelivered, undelivered_of};
use crate::durable::LockError;
use crate::queue::QueueState;
use crate::state::StateDir;

/// How many deliveries are named one by one; the counts include all.
const NAMED: usize = 1000;

/// Where a recovery found a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeliveryWas")]
#[serde(rename_all = "snake_case")]
pub enum Was {
    /// Never tried.
    Pending,
    /// An attempt was under way when its sender died.
    InFlight,
    /// Waiting for its next try.
    Waiting,
    /// Waiting for an operator.
    Parked,
}

/// A delivery that a recovery found undelivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FoundDelivery {
    pub delivery_id: DeliveryId,
    /// The job that the event is about.
    pub job_id: Option<String>,
    /// What kind of event it is.
    pub event: Event,
    /// The receiver's address, as reports show it.
    pub url: String,
    /// How many attempts were begun.
    pub attempts: u32,
    /// The state in which the recovery found it.
    pub was: Was,
    /// The error of the last attempt.
    pub last_error: Option<String>,
}

/// The result of a recovery.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DeliveryLogRecovery {
    /// The oldest undelivered deliveries.
    pub deliveries: Vec<FoundDelivery>,
    /// How many deliveries were undelivered.
    pub total: u64,
    /// How many of them were never tried.
    pub pending: u64,
    /// How many of them were under way when their sender died.
    pub in_flight: u64,
    /// How many of them wait for their next try.
    pub waiting: u64,
    /// How many of them wait for an operator.
    pub parked: u64,
    /// Another process was delivering, so nothing was changed.
    pub was_delivering: bool,
    /// The damage of the log, before it was repaired.
    #[serde(skip)]
    pub problems: Problems,
}

/// Recovers the deliveries of a state directory.
pub(crate) fn recover(
    dir: &StateDir,
    settings: &Settings,
    queue: &QueueState,
    recoveries: &[RecoveryEnd],
) -> Result<DeliveryLogRecovery, EngineError> {
    let lock = match take_lock(dir, "recovery") {
        Ok(lock) => Some(lock),
        Err(EngineError::Lock(LockError::Held { .. })) => None,
        Err(e) => return Err(e),
    };
    let mut log = DeliveryLog::open(dir)?;
    let problems = log.problems().clone();
    let lost: HashSet<DeliveryId> = match &lock {
        Some(_) => interrupt_lost(&mut log, settings)?.into_iter().collect(),
        None => HashSet::new(),
    };
    let since = log.state().endpoints().clone();
    let mut deriver = Deriver::new(dir.identity.state_id, &settings.endpoints, &since);
    let mut undelivered = undelivered_of(&mut deriver, log.state(), queue, recoveries);
    undelivered.sort_by_key(|u| u.delivery.order());
    let mut found = counted(&undelivered, &lost);
    found.was_delivering = lock.is_none();
    if lock.is_some() {
        compact_if_worth_it(dir, settings, &mut log, queue, recoveries)?;
        log.commit()?;
    }
    found.problems = problems;
    Ok(found)
}

fn counted(undelivered: &[Undelivered], lost: &HashSet<DeliveryId>) -> DeliveryLogRecovery {
    let mut found = DeliveryLogRecovery { total: undelivered.len() as u64, ..DeliveryLogRecovery::default() };
    for u in undelivered {
        let was = match u.progress.as_ref().map(|c| c.standing) {
            _ if lost.contains(&u.delivery.id) => Was::InFlight,
            None => Was::Pending,
            Some(DeliveryState::InFlight { .. }) => Was::InFlight,
            Some(DeliveryState::Waiting { .. }) => Was::Waiting,
            Some(DeliveryState::Parked { .. }) => Was::Parked,
        };
        *match was {
            Was::Pending => &mut found.pending,
            Was::InFlight => &mut found.in_flight,
            Was::Waiting => &mut found.waiting,
            Was::Parked => &mut found.parked,
        } += 1;
        if found.deliveries.len() < NAMED {
            found.deliveries.push(FoundDelivery {
                delivery_id: u.delivery.id,
                job_id: u.delivery.job_id().map(ToString::to_string),
                event: u.delivery.event,
                url: u.delivery.target.shown(),
                attempts: u.progress.as_ref().map_or(0, |c| c.attempts),
                was,
                last_error: u.progress.as_ref().and_then(|c| c.last_error.as_deref().map(str::to_owned)),
            });
        }
    }
    found
}

/// Compacts a damaged log; also a long one, which then loses the deliveries that can no longer be derived.
fn compact_if_worth_it(
    dir: &StateDir,
    settings: &Settings,
    log: &mut DeliveryLog,
    queue: &QueueState,
    recoveries: &[RecoveryEnd],
) -> Result<(), EngineError> {
    let is_long = log.records_since_compaction() >= settings.compact_records
        || log.is_worth_shortening(settings.retention(), dir.clock.now());
    if !is_long && !log.problems().is_damaged() {
        return Ok(());
    }
    let state_id = dir.identity.state_id;
    let names = log.state().endpoints().clone();
    let listed: Vec<&String> = names.keys().collect();
    let of_jobs = queue.jobs().flat_map(|job| ids_of_job(state_id, job, &listed));
    let of_recoveries =
        recoveries.iter().flat_map(|r| ids_of_recovery(state_id, r.facts.recovery_id, names.keys()));
    let derivable: HashSet<DeliveryId> = of_jobs.chain(of_recoveries).collect();
    log.compact(&|id| derivable.contains(&id), settings.retention())?;
    Ok(())
}
