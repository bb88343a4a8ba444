//! The state of the delivery log, and the one function that changes it.
//!
//! [`DeliveryLogState::apply`] is total: every record in every state either changes the state or is refused
//! with the reason, and depends on nothing else. A delivery that the log does not know was never tried.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::delivery::DeliveryId;
use super::record::{Attempted, DeliveryOutcome, DeliveryProgress, DeliveryState, Operation, Record};
use crate::state::Timestamp;

/// Why a record changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryRefusal {
    /// The delivery has arrived or was given up.
    #[error("delivery {0} has arrived or was given up")]
    Settled(DeliveryId),
    /// The delivery waits for an operator.
    #[error("delivery {0} is parked")]
    Parked(DeliveryId),
    /// Nothing was tried yet, so there is nothing to try again: it is due anyway.
    #[error("delivery {0} was not tried yet")]
    NeverTried(DeliveryId),
    /// An attempt is under way.
    #[error("an attempt of delivery {0} is under way")]
    InFlight(DeliveryId),
    /// The record is about another attempt than the one under way.
    #[error("attempt {attempt} of delivery {delivery} is not under way")]
    OtherAttempt {
        delivery: DeliveryId,
        /// Which attempt the record names.
        attempt: u32,
    },
    /// A record of a compaction that has no begin, or an end that does not fit.
    #[error("it is part of a compaction that is not whole")]
    Compaction,
}

/// An endpoint to which nothing is sent for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circuit {
    /// How many failures there were in a row.
    pub failures: u32,
    /// Until when nothing is sent.
    pub open_until: Timestamp,
    /// The error of the last failure.
    pub error: Option<String>,
}

/// The state of the log.
#[derive(Debug, Default)]
pub struct DeliveryLogState {
    in_progress: HashMap<DeliveryId, DeliveryProgress>,
    settled: HashSet<DeliveryId>,
    /// Settled deliveries that were given up.
    discarded: HashSet<DeliveryId>,
    circuits: BTreeMap<String, Circuit>,
    /// The endpoints that asked for a pause, and until when.
    retry_after: BTreeMap<String, Timestamp>,
    endpoints: BTreeMap<String, Timestamp>,
    compaction: Option<Box<Compaction>>,
}

/// A compaction that is being read; it takes effect only when it is complete.
#[derive(Debug, Default)]
struct Compaction {
    state: DeliveryLogState,
    records: u64,
}

impl DeliveryLogState {
    /// Returns the progress of an undelivered delivery that was tried.
    pub(crate) fn progress(&self, id: DeliveryId) -> Option<&DeliveryProgress> {
        self.in_progress.get(&id)
    }

    /// Whether the delivery has arrived, or an operator has given it up.
    pub(crate) fn is_settled(&self, id: DeliveryId) -> bool {
        self.settled.contains(&id)
    }

    /// Whether an operator has given the delivery up.
    pub(crate) fn is_discarded(&self, id: DeliveryId) -> bool {
        self.discarded.contains(&id)
    }

    /// Returns the deliveries that were tried and have not arrived.
    pub(crate) fn in_progress(&self) -> impl ExactSizeIterator<Item = (DeliveryId, &DeliveryProgress)> {
        self.in_progress.iter().map(|(id, progress)| (*id, progress))
    }

    /// Returns the deliveries that have arrived or were given up, as far back as the log goes.
    pub fn settled(&self) -> impl ExactSizeIterator<Item = DeliveryId> {
        self.settled.iter().copied()
    }

    /// Returns the endpoints to which nothing is sent for a while.
    pub(crate) fn circuits(&self) -> &BTreeMap<String, Circuit> {
        &self.circuits
    }

    /// Returns until when endpoints asked for a pause (`Retry-After`); that time may be over.
    pub(crate) fn retry_after(&self) -> &BTreeMap<String, Timestamp> {
        &self.retry_after
    }

    /// Returns since when each endpoint that was ever configured receives events.
    pub fn endpoints(&self) -> &BTreeMap<String, Timestamp> {
        &self.endpoints
    }

    /// Applies a record.
    ///
    /// # Errors
    /// [`DeliveryRefusal`]; the state is unchanged then.
    pub(crate) fn apply(&mut self, record: Record) -> Result<(), DeliveryRefusal> {
        let Record { at, operation, .. } = record;
        match operation {
            Operation::CompactionBegin => {
                // An interrupted compaction has no effect: the records that it would have replaced are still
                // there.
                self.compaction = Some(Box::default());
                return Ok(());
            }
            Operation::CompactionEnd { records } => return self.end_compaction(records),
            _ => {}
        }
        if let Operation::Kept { .. }
        | Operation::KeptSettled { .. }
        | Operation::KeptEndpoint { .. }
        | Operation::KeptAttempt { .. } = operation
        {
            return self.keep(operation);
        }
        // A compaction is written in one piece, so any other record shows that it was cut short.
        self.compaction = None;
        match operation {
            Operation::Begin { delivery, attempt } => self.begin(delivery, attempt, at),
            Operation::Attempted(attempted) => {
                let wish = attempted.retry_after();
                self.attempted(attempted)?;
                self.note_retry_after(wish, at);
                Ok(())
            }
            Operation::Interrupted { deliveries } => {
                deliveries.into_iter().for_each(|id| self.interrupted(id, at));
                Ok(())
            }
            Operation::Retry { deliveries, endpoints, .. } => {
                endpoints.iter().for_each(|endpoint| self.ask_again(endpoint, at));
                let mut applied = Ok(());
                for id in deliveries {
                    // A delivery that does not fit does not stop the others.
                    applied = applied.and(self.retry(id, at));
                }
                applied
            }
            Operation::Discard { deliveries, .. } => {
                let mut applied = Ok(());
                for id in deliveries {
                    // A delivery that does not fit does not stop the others.
                    applied = applied.and(self.discard(id));
                }
                applied
            }
            Operation::Circuit { endpoint, failures, open_until: Some(open_until), error } => {
                self.circuits.insert(endpoint, Circuit { failures, open_until, error });
                Ok(())
            }
            Operation::Circuit { endpoint, .. } => {
                self.circuits.remove(&endpoint);
                Ok(())
            }
            Operation::Endpoint { name } => {
                self.endpoints.entry(name).or_insert(at);
                Ok(())
            }
            _ => Ok(()), // Those of a compaction were dealt with.
        }
    }

    fn begin(&mut self, id: DeliveryId, attempt: u32, at: Timestamp) -> Result<(), DeliveryRefusal> {
        if self.settled.contains(&id) {
            return Err(DeliveryRefusal::Settled(id));
        }
        let standing = DeliveryState::InFlight { since: at };
        match self.in_progress.get_mut(&id) {
            None => {
                let progress = DeliveryProgress { attempts: attempt, tries: 1, standing, last_error: None };
                self.in_progress.insert(id, progress);
                Ok(())
            }
            Some(DeliveryProgress { standing: DeliveryState::Parked { .. }, .. }) => {
                Err(DeliveryRefusal::Parked(id))
            }
            Some(progress) if attempt <= progress.attempts => {
                Err(DeliveryRefusal::OtherAttempt { delivery: id, attempt })
            }
            Some(progress) => {
                progress.attempts = attempt;
                progress.tries += 1;
                progress.standing = standing;
                Ok(())
            }
        }
    }

    fn attempted(&mut self, attempted: Attempted) -> Result<(), DeliveryRefusal> {
        let Attempted { delivery: id, attempt, outcome, error, next_try_at, .. } = attempted;
        if outcome == DeliveryOutcome::Delivered {
            // It is certain that the delivery has arrived, whatever other records were lost.
            self.in_progress.remove(&id);
            self.settled.insert(id);
            return Ok(());
        }
        if self.settled.contains(&id) {
            return Err(DeliveryRefusal::Settled(id));
        }
        let progress = self
            .in_progress
            .get_mut(&id)
            .filter(|c| c.attempts == attempt && matches!(c.standing, DeliveryState::InFlight { .. }));
        let progress = progress.ok_or(DeliveryRefusal::OtherAttempt { delivery: id, attempt })?;
        progress.last_error = error.map(Into::into);
        progress.standing = match (outcome, next_try_at) {
            (DeliveryOutcome::Retry, Some(next_try_at)) => DeliveryState::Waiting { next_try_at },
            (outcome, _) => DeliveryState::Parked { refused: outcome == DeliveryOutcome::Refused },
        };
        Ok(())
    }

    /// Keeps the newest `Retry-After` of an endpoint, and drops those that are over.
    fn note_retry_after(&mut self, wish: Option<(String, Timestamp)>, at: Timestamp) {
        if let Some((endpoint, until)) = wish {
            self.retry_after.retain(|_, until| *until > at);
            self.retry_after.insert(endpoint, until);
        }
    }

    fn ask_again(&mut self, endpoint: &str, at: Timestamp) {
        self.retry_after.remove(endpoint);
        if let Some(circuit) = self.circuits.get_mut(endpoint) {
            circuit.open_until = circuit.open_until.min(at);
        }
    }

    /// Makes an interrupted delivery due again. The try does not count, because the receiver is not to blame.
    fn interrupted(&mut self, id: DeliveryId, at: Timestamp) {
        if let Some(progress) = self.in_progress.get_mut(&id)
            && let DeliveryState::InFlight { .. } = progress.standing
        {
            progress.tries = progress.tries.saturating_sub(1);
            progress.standing = DeliveryState::Waiting { next_try_at: at };
        }
    }

    /// Checks that an operator can give a delivery up.
    ///
    /// # Errors
    /// [`DeliveryRefusal`], with the reason.
    pub(crate) fn check_discard(&self, id: DeliveryId) -> Result<(), DeliveryRefusal> {
        match self.in_progress.get(&id).map(|c| c.standing) {
            Some(DeliveryState::InFlight { .. }) => Err(DeliveryRefusal::InFlight(id)),
            _ if self.settled.contains(&id) => Err(DeliveryRefusal::Settled(id)),
            _ => Ok(()),
        }
    }

    fn discard(&mut self, id: DeliveryId) -> Result<(), DeliveryRefusal> {
        self.check_discard(id)?;
        self.in_progress.remove(&id);
        self.settled.insert(id);
        self.discarded.insert(id);
        Ok(())
    }

    fn retry(&mut self, id: DeliveryId, at: Timestamp) -> Result<(), DeliveryRefusal> {
        self.check_retry(id)?;
        if let Some(progress) = self.in_progress.get_mut(&id) {
            progress.tries = 0;
            progress.standing = DeliveryState::Waiting { next_try_at: at };
        }
        Ok(())
    }

    /// Checks that an operator can have a delivery tried again.
    ///
    /// # Errors
    /// [`DeliveryRefusal`], with the reason.
    pub(crate) fn check_retry(&self, id: DeliveryId) -> Result<(), DeliveryRefusal> {
        match self.in_progress.get(&id).map(|c| c.standing) {
            _ if self.settled.contains(&id) => Err(DeliveryRefusal::Settled(id)),
            None => Err(DeliveryRefusal::NeverTried(id)),
            Some(DeliveryState::InFlight { .. }) => Err(DeliveryRefusal::InFlight(id)),
            Some(DeliveryState::Waiting { .. } | DeliveryState::Parked { .. }) => Ok(()),
        }
    }

    fn keep(&mut self, operation: Operation) -> Result<(), DeliveryRefusal> {
        let Some(compaction) = &mut self.compaction else { return Err(DeliveryRefusal::Compaction) };
        compaction.records += 1;
        let state = &mut compaction.state;
        match operation {
            Operation::Kept { delivery, progress } => drop(state.in_progress.insert(delivery, progress)),
            Operation::KeptSettled { deliveries, discarded } => {
                if discarded {
                    state.discarded.extend(&deliveries);
                }
                state.settled.extend(deliveries);
            }
            Operation::KeptEndpoint { name, since } => drop(state.endpoints.insert(name, since)),
            Operation::KeptAttempt { ended_at, attempted } => {
                state.note_retry_after(attempted.retry_after(), ended_at);
            }
            _ => {}
        }
        Ok(())
    }

    fn end_compaction(&mut self, records: u64) -> Result<(), DeliveryRefusal> {
        let Compaction { state, records: read } =
            *self.compaction.take().ok_or(DeliveryRefusal::Compaction)?;
        if read != records {
            return Err(DeliveryRefusal::Compaction);
        }
        // Circuits describe the moment; the compacting process still has them.
        let circuits = std::mem::take(&mut self.circuits);
        *self = DeliveryLogState { circuits, ..state };
        Ok(())
    }

    /// Returns the operations that a compaction writes, without begin and end. `is_wanted` says of a settled
    /// delivery whether it could be derived again.
    pub(super) fn kept(&self, is_wanted: &dyn Fn(DeliveryId) -> bool) -> Vec<Operation> {
        let endpoints = self.endpoints.iter();
        let endpoints =
            endpoints.map(|(name, since)| Operation::KeptEndpoint { name: name.clone(), since: *since });
        let in_progress = self.in_progress.iter();
        let in_progress = in_progress.map(|(id, c)| Operation::Kept { delivery: *id, progress: c.clone() });
        let wanted = self.settled().filter(|id| is_wanted(*id));
        let (discarded, arrived): (Vec<_>, Vec<_>) = wanted.partition(|id| self.is_discarded(*id));
        let settled = |ids: &[DeliveryId], discarded| {
            let pieces = ids.chunks(500).map(<[DeliveryId]>::to_vec);
            pieces.map(|deliveries| Operation::KeptSettled { deliveries, discarded }).collect::<Vec<_>>()
        };
        let settled = [settled(&arrived, false), settled(&discarded, true)].concat();
        endpoints.chain(in_progress).chain(settled).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::delivery::Event;
    use super::*;
    use proptest::prelude::*;

    fn id(n: u8) -> DeliveryId {
        DeliveryId::derived(uuid::Uuid::nil(), &n.to_string(), "test")
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn record(ms: i64, operation: Operation) -> Record {
        Record { v: 1, at: at(ms), operation }
    }

    fn attempted(n: u8, attempt: u32, outcome: DeliveryOutcome) -> Operation {
        Operation::Attempted(Attempted {
            delivery: id(n),
            attempt,
            job_id: None,
            event: Event::JobEnded,
            url: "http://x/".to_owned(),
            outcome,
            status_code: Some(500),
            duration_ms: 1,
            error: Some("no".to_owned()),
            next_try_at: (outcome == DeliveryOutcome::Retry).then(|| at(9_000)),
            not_before: None,
        })
    }

    fn begin(n: u8, attempt: u32) -> Operation {
        Operation::Begin { delivery: id(n), attempt }
    }

    fn retry(n: u8) -> Operation {
        Operation::Retry { deliveries: vec![id(n)], endpoints: Vec::new(), by: "test".to_owned(), why: None }
    }

    #[test]
    fn state_progress_from_begin_to_end() {
        let mut state = DeliveryLogState::default();
        assert_eq!(state.apply(record(0, retry(1))), Err(DeliveryRefusal::NeverTried(id(1))));
        state.apply(record(1, begin(1, 1))).unwrap();
        assert_eq!(state.apply(record(1, retry(1))), Err(DeliveryRefusal::InFlight(id(1))));
        state.apply(record(2, attempted(1, 1, DeliveryOutcome::Retry))).unwrap();
        let progress = state.progress(id(1)).unwrap();
        assert_eq!((progress.attempts, progress.tries), (1, 1));
        assert_eq!(progress.standing, DeliveryState::Waiting { next_try_at: at(9_000) });
        state.apply(record(3, begin(1, 2))).unwrap();
        state.apply(record(4, Operation::Interrupted { deliveries: vec![id(1), id(2)] })).unwrap();
        let progress = state.progress(id(1)).unwrap();
        assert_eq!((progress.attempts, progress.tries), (2, 1), "an interrupted try does not count");
        assert_eq!(progress.standing, DeliveryState::Waiting { next_try_at: at(4) });
        let stale = attempted(1, 2, DeliveryOutcome::Parked);
        assert_eq!(
            state.apply(record(5, stale)),
            Err(DeliveryRefusal::OtherAttempt { delivery: id(1), attempt: 2 })
        );
        state.apply(record(6, begin(1, 3))).unwrap();
        state.apply(record(7, attempted(1, 3, DeliveryOutcome::Parked))).unwrap();
        assert_eq!(state.apply(record(8, begin(1, 4))), Err(DeliveryRefusal::Parked(id(1))));
        state.apply(record(9, retry(1))).unwrap();
        assert_eq!(state.progress(id(1)).unwrap().tries, 0);
        state.apply(record(10, begin(1, 4))).unwrap();
        state.apply(record(11, attempted(1, 4, DeliveryOutcome::Delivered))).unwrap();
        assert!(state.is_settled(id(1)) && state.progress(id(1)).is_none());
        assert_eq!(state.apply(record(12, begin(1, 5))), Err(DeliveryRefusal::Settled(id(1))));
        assert_eq!(state.apply(record(13, retry(1))), Err(DeliveryRefusal::Settled(id(1))));
    }

    #[test]
    fn state_retry_after_until_operator_retries() {
        let mut state = DeliveryLogState::default();
        let asks = |n, attempt, until| {
            let mut operation = attempted(n, attempt, DeliveryOutcome::Retry);
            if let Operation::Attempted(attempted) = &mut operation {
                attempted.not_before = Some(at(until));
            }
            operation
        };
        state.apply(record(1, begin(1, 1))).unwrap();
        state.apply(record(2, asks(1, 1, 500))).unwrap();
        assert_eq!(state.retry_after()["http://x"], at(500));
        assert!(state.apply(record(3, asks(1, 7, 900))).is_err());
        assert_eq!(state.retry_after()["http://x"], at(500), "a record that is refused changes nothing");
        state.apply(record(4, begin(2, 1))).unwrap();
        state.apply(record(5, asks(2, 1, 300))).unwrap();
        assert_eq!(state.retry_after()["http://x"], at(300));
        let circuit = |open_until| Operation::Circuit {
            endpoint: "http://x".to_owned(),
            failures: 5,
            open_until,
            error: None,
        };
        state.apply(record(6, circuit(Some(at(700))))).unwrap();
        let retry = Operation::Retry {
            deliveries: vec![id(1)],
            endpoints: vec!["http://x".to_owned()],
            by: "test".to_owned(),
            why: None,
        };
        state.apply(record(7, retry)).unwrap();
        assert!(state.retry_after().is_empty());
        assert_eq!(state.circuits()["http://x"].open_until, at(7), "it is probed");
    }

    /// Generates everything that one operator, two senders and a compaction could write, in any order.
    fn operation() -> impl Strategy<Value = Operation> {
        let outcome = prop::sample::select(vec![
            DeliveryOutcome::Delivered,
            DeliveryOutcome::Retry,
            DeliveryOutcome::Parked,
            DeliveryOutcome::Refused,
        ]);
        prop_oneof![
            (0u8..3, 1u32..5).prop_map(|(n, a)| begin(n, a)),
            (0u8..3, 1u32..5, outcome).prop_map(|(n, a, o)| attempted(n, a, o)),
            (0u8..3).prop_map(|n| Operation::Interrupted { deliveries: vec![id(n)] }),
            (0u8..3).prop_map(retry),
            Just(Operation::CompactionBegin),
            (0u64..3).prop_map(|records| Operation::CompactionEnd { records }),
            Just(Operation::Endpoint { name: "ops".to_owned() }),
        ]
    }

    fn seen(state: &DeliveryLogState) -> (Vec<Operation>, bool) {
        let mut kept = state.kept(&|_| true);
        for operation in &mut kept {
            if let Operation::KeptSettled { deliveries, .. } = operation {
                deliveries.sort();
            }
        }
        kept.sort_by_key(|o| serde_json::to_string(o).unwrap());
        (kept, state.compaction.is_some())
    }

    proptest! {
        #[test]
        fn state_settled_stays_and_refusals_change_nothing(
            operations in prop::collection::vec(operation(), 0..60)
        ) {
            let mut state = DeliveryLogState::default();
            let mut arrived = HashSet::new();
            for (n, operation) in operations.into_iter().enumerate() {
                let before = seen(&state);
                let is_compaction = matches!(
                    operation,
                    Operation::CompactionEnd { .. } | Operation::CompactionBegin
                );
                if let Operation::Attempted(Attempted { delivery, outcome: DeliveryOutcome::Delivered, .. }) = &operation {
                    arrived.insert(*delivery);
                }
                let written = Record::line(at(1), &operation).unwrap();
                let read: Record = serde_json::from_slice(&written).unwrap();
                prop_assert_eq!(&read.operation, &operation);
                let applied = state.apply(record(i64::try_from(n).unwrap(), operation));
                // A complete but empty compaction would replace everything; none is ever written.
                if is_compaction && applied.is_ok() && state.settled.is_empty() {
                    arrived.clear();
                }
                if applied.is_err() {
                    prop_assert_eq!(seen(&state).0, before.0);
                }
                prop_assert!(arrived.iter().all(|id| state.is_settled(*id)));
            }
        }

        #[test]
        fn state_compaction_is_equivalent(operations in prop::collection::vec(operation(), 0..60)) {
            let mut state = DeliveryLogState::default();
            for (n, operation) in operations.into_iter().enumerate() {
                let _ = state.apply(record(i64::try_from(n).unwrap(), operation)); // Refusals are part of it.
            }
            let kept = state.kept(&|_| true);
            let before = seen(&state).0;
            state.apply(record(100, Operation::CompactionBegin)).unwrap();
            let records = kept.len() as u64;
            for operation in kept {
                state.apply(record(100, operation)).unwrap();
            }
            state.apply(record(100, Operation::CompactionEnd { records })).unwrap();
            prop_assert_eq!(seen(&state).0, before);
        }
    }
}
