//! Chooses the next delivery. The code is pure: the caller passes events and a monotonic time, so a jump of
//! the wall clock neither releases everything nor delays anything.
//!
//! Every endpoint has a line of its own, so that a dead one does not delay others. The endpoint that was
//! served longest ago goes first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::breaker::{Breaker, BreakerSettings, Change};
use super::delivery::{Delivery, DeliveryId};
use crate::state::Timestamp;

type Order = (Timestamp, DeliveryId);

/// How many deliveries are tried at a time, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many attempts may be under way at one endpoint.
    pub per_endpoint: usize,
    /// Whether a delivery that waits for its next try blocks those behind it; then only one attempt at a time
    /// is under way.
    pub strict_order: bool,
    /// When an endpoint counts as dead.
    pub breaker: BreakerSettings,
}

/// What an attempt showed about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The endpoint answered.
    Answers,
    /// The endpoint did not answer, or is in trouble.
    Fails,
    /// The attempt shows nothing about the endpoint.
    NotKnown,
}

/// Deliveries of one endpoint, by when they may be tried.
#[derive(Debug)]
enum Line {
    /// The delivery that is due first goes first; of equals, the older.
    Free(BTreeSet<(Instant, Order)>),
    /// The oldest delivery goes first, when it is due.
    Strict(BTreeMap<Order, Instant>),
}

impl Line {
    fn insert(&mut self, due: Instant, order: Order) {
        match self {
            Line::Free(set) => drop(set.insert((due, order))),
            Line::Strict(map) => drop(map.insert(order, due)),
        }
    }

    fn remove(&mut self, due: Instant, order: Order) {
        match self {
            Line::Free(set) => drop(set.remove(&(due, order))),
            Line::Strict(map) => drop(map.remove(&order)),
        }
    }

    fn head(&self) -> Option<(Instant, Order)> {
        match self {
            Line::Free(set) => set.first().copied(),
            Line::Strict(map) => map.first_key_value().map(|(order, due)| (*due, *order)),
        }
    }
}

#[derive(Debug)]
struct Endpoint {
    line: Line,
    in_flight: usize,
    breaker: Breaker,
    /// Until when the endpoint asked that nothing be sent.
    not_before: Option<Instant>,
    served: Option<Instant>,
    /// Its key in [`DeliveryScheduler::due`].
    indexed: Option<Instant>,
}

impl Endpoint {
    /// Returns when the next delivery may go; `None` while the endpoint has no free slot or no delivery.
    fn next_time(&self, limits: &Limits) -> Option<Instant> {
        let one_at_a_time = limits.strict_order || self.breaker.open_until().is_some();
        let room = if one_at_a_time { 1 } else { limits.per_endpoint };
        let (due, _) = self.line.head().filter(|_| self.in_flight < room)?;
        [self.served, self.not_before, self.breaker.open_until()].into_iter().flatten().chain([due]).max()
    }
}

#[derive(Debug)]
struct Held {
    delivery: Arc<Delivery>,
    /// When the delivery may be tried; `None` while it is under way or parked.
    due: Option<Instant>,
}

/// All undelivered deliveries.
#[derive(Debug)]
pub struct DeliveryScheduler {
    limits: Limits,
    held: HashMap<DeliveryId, Held>,
    endpoints: HashMap<Arc<str>, Endpoint>,
    due: BTreeSet<(Instant, Arc<str>)>,
    in_flight: usize,
    parked: usize,
}

impl DeliveryScheduler {
    /// Makes an empty scheduler.
    pub fn new(limits: Limits) -> DeliveryScheduler {
        DeliveryScheduler {
            limits,
            held: HashMap::new(),
            endpoints: HashMap::new(),
            due: BTreeSet::new(),
            in_flight: 0,
            parked: 0,
        }
    }

    /// Adds a delivery that may be tried from `due` on; `None` for a parked one. A delivery that is already
    /// known is ignored.
    pub fn add(&mut self, delivery: Arc<Delivery>, due: Option<Instant>) {
        let (id, order, endpoint) = (delivery.id, delivery.order(), delivery.target.endpoint.clone());
        if self.held.contains_key(&id) {
            return;
        }
        self.held.insert(id, Held { delivery, due });
        match due {
            Some(due) => self.change(&endpoint, |e, _| e.line.insert(due, order)),
            None => self.parked += 1,
        }
    }

    /// Restores the endpoint's circuit as it was when its process ended.
    pub(crate) fn restore_circuit(&mut self, endpoint: &str, failures: u32, until: Instant) {
        self.change(endpoint, |e, _| e.breaker = Breaker::opened(failures, until));
    }

    /// Restores the pause that the endpoint asked for before its process ended.
    pub(crate) fn restore_retry_after(&mut self, endpoint: &str, until: Instant) {
        self.change(endpoint, |e, _| e.not_before = Some(until));
    }

    /// Returns the next delivery to try now; it counts as under way until its result is passed.
    pub fn next(&mut self, now: Instant) -> Option<Arc<Delivery>> {
        let (time, endpoint) = self.due.first()?.clone();
        if time > now {
            return None;
        }
        let mut taken = None;
        self.change(&endpoint, |e, held| {
            let Some((due, order)) = e.line.head() else { return };
            e.line.remove(due, order);
            e.in_flight += 1;
            e.served = Some(now);
            if let Some(held) = held.get_mut(&order.1) {
                held.due = None;
                taken = Some(held.delivery.clone());
            }
        });
        self.in_flight += usize::from(taken.is_some());
        taken
    }

    /// Returns when something can be done next, as far as is known now.
    pub(crate) fn next_time(&self) -> Option<Instant> {
        self.due.first().map(|(time, _)| *time)
    }

    /// Returns the number of attempts under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Returns the number of deliveries that are not parked.
    pub(crate) fn pending(&self) -> usize {
        self.held.len() - self.parked
    }

    /// Whether the delivery is known, delivered or not.
    pub(crate) fn knows(&self, id: DeliveryId) -> bool {
        self.held.contains_key(&id)
    }

    /// Notes that the attempt under way has arrived.
    pub(crate) fn delivered(&mut self, id: DeliveryId) {
        if let Some(held) = self.held.remove(&id) {
            self.landed(&held.delivery.target.endpoint);
        }
    }

    /// Notes that the attempt under way has failed; the next may begin at `due`.
    pub(crate) fn try_again(&mut self, id: DeliveryId, due: Instant) {
        let Some(held) = self.held.get_mut(&id) else { return };
        held.due = Some(due);
        let (order, endpoint) = (held.delivery.order(), held.delivery.target.endpoint.clone());
        self.landed(&endpoint);
        self.change(&endpoint, |e, _| e.line.insert(due, order));
    }

    /// Notes that the attempt under way has failed; an operator decides when the next begins.
    pub(crate) fn park(&mut self, id: DeliveryId) {
        let Some(held) = self.held.get(&id) else { return };
        let endpoint = held.delivery.target.endpoint.clone();
        self.landed(&endpoint);
        self.parked += 1;
    }

    fn landed(&mut self, endpoint: &str) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.change(endpoint, |e, _| e.in_flight = e.in_flight.saturating_sub(1));
    }

    /// Makes a delivery due now at an operator's wish, and its endpoint too, whatever its circuit says.
    pub(crate) fn retry(&mut self, id: DeliveryId, now: Instant) {
        let Some(held) = self.held.get_mut(&id) else { return };
        let (order, endpoint) = (held.delivery.order(), held.delivery.target.endpoint.clone());
        let before = held.due.replace(now);
        self.parked -= usize::from(before.is_none());
        self.change(&endpoint, |e, _| {
            if let Some(before) = before {
                e.line.remove(before, order);
            }
            e.line.insert(now, order);
            e.not_before = None;
            e.breaker.probe_now(now);
        });
    }

    /// Forgets a delivery that an operator has given up. An attempt that is under way goes on to its end.
    pub(crate) fn forget(&mut self, id: DeliveryId) {
        let Some(held) = self.held.get(&id) else { return };
        let (order, endpoint) = (held.delivery.order(), held.delivery.target.endpoint.clone());
        match held.due {
            Some(due) => self.change(&endpoint, |e, _| e.line.remove(due, order)),
            None => self.parked = self.parked.saturating_sub(1),
        }
        self.held.remove(&id);
    }

    /// Notes what an attempt showed about its endpoint; `not_before` is how long the endpoint asked to be
    /// left alone.
    pub(crate) fn learn(
        &mut self,
        endpoint: &str,
        health: Health,
        not_before: Option<Instant>,
        now: Instant,
    ) -> Change {
        let settings = self.limits.breaker;
        let mut change = Change::None;
        self.change(endpoint, |e, _| {
            e.not_before = not_before.or(e.not_before);
            change = match health {
                Health::Answers => e.breaker.succeeded(),
                Health::Fails => e.breaker.failed(now, &settings),
                Health::NotKnown => Change::None,
            };
        });
        change
    }

    /// Changes an endpoint and keeps the index consistent.
    fn change(&mut self, name: &str, act: impl FnOnce(&mut Endpoint, &mut HashMap<DeliveryId, Held>)) {
        let DeliveryScheduler { limits, held, endpoints, due, .. } = self;
        let known = endpoints.get_key_value(name).map(|(name, _)| name.clone());
        let name: Arc<str> = known.unwrap_or_else(|| name.into());
        let endpoint = endpoints.entry(name.clone()).or_insert_with(|| Endpoint {
            line: if limits.strict_order {
                Line::Strict(BTreeMap::new())
            } else {
                Line::Free(BTreeSet::new())
            },
            in_flight: 0,
            breaker: Breaker::default(),
            not_before: None,
            served: None,
            indexed: None,
        });
        act(endpoint, held);
        let next = endpoint.next_time(limits);
        if next != endpoint.indexed {
            if let Some(before) = endpoint.indexed {
                due.remove(&(before, name.clone()));
            }
            endpoint.indexed = next;
            due.extend(next.map(|time| (time, name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::delivery::{Event, Facts};
    use super::super::target::DeliveryTarget;
    use super::*;
    use crate::queue::Callback;

    const S: Duration = Duration::from_secs(1);

    fn delivery(n: i64, url: &str) -> Arc<Delivery> {
        Arc::new(Delivery {
            id: DeliveryId::derived(uuid::Uuid::nil(), &n.to_string(), url),
            event: Event::Test,
            at: Timestamp::from_millis(n),
            facts: Facts::Test { message: "" },
            target: Arc::new(DeliveryTarget::of_callback(Callback::to(url))),
        })
    }

    fn limits(per_endpoint: usize, strict_order: bool) -> Limits {
        let breaker = BreakerSettings { failures: 2, pause: 10 * S, pause_max: 100 * S };
        Limits { per_endpoint, strict_order, breaker }
    }

    fn ats(scheduler: &mut DeliveryScheduler, now: Instant) -> Vec<i64> {
        std::iter::from_fn(|| scheduler.next(now)).map(|d| d.at.as_millis()).collect()
    }

    #[test]
    fn scheduler_in_order_per_endpoint_and_round_robin() {
        let (mut scheduler, now) = (DeliveryScheduler::new(limits(1, false)), Instant::now());
        let all: Vec<_> =
            (1..=6).map(|n| delivery(n, if n < 4 { "http://a/" } else { "http://b/" })).collect();
        all.iter().rev().for_each(|d| scheduler.add(d.clone(), Some(now)));
        scheduler.add(all[0].clone(), Some(now));
        assert_eq!(ats(&mut scheduler, now), [1, 4]);
        scheduler.delivered(all[0].id);
        assert_eq!(ats(&mut scheduler, now), [2]);
        scheduler.try_again(all[1].id, now + S);
        assert_eq!(ats(&mut scheduler, now), [3], "one that waits for its next try holds up nobody");
        assert_eq!((scheduler.in_flight(), scheduler.pending()), (2, 5));
        scheduler.delivered(all[2].id);
        assert_eq!(scheduler.next_time(), Some(now + S));
        assert_eq!(ats(&mut scheduler, now + S), [2]);
    }

    #[test]
    fn scheduler_strict_order_blocks_until_parked() {
        let (mut scheduler, now) = (DeliveryScheduler::new(limits(5, true)), Instant::now());
        let all: Vec<_> = (1..=3).map(|n| delivery(n, "http://a/")).collect();
        all.iter().for_each(|d| scheduler.add(d.clone(), Some(now)));
        assert_eq!(ats(&mut scheduler, now), [1]);
        scheduler.try_again(all[0].id, now + S);
        assert!(ats(&mut scheduler, now).is_empty());
        assert_eq!(ats(&mut scheduler, now + S), [1]);
        scheduler.park(all[0].id);
        assert_eq!((ats(&mut scheduler, now + S), scheduler.parked), (vec![2], 1));
        scheduler.retry(all[0].id, now + S);
        scheduler.delivered(all[1].id);
        assert_eq!((ats(&mut scheduler, now + S), scheduler.parked), (vec![1], 0));
    }

    #[test]
    fn scheduler_probes_dead_endpoint_singly() {
        let (mut scheduler, now) = (DeliveryScheduler::new(limits(4, false)), Instant::now());
        let dead: Vec<_> = (1..=5).map(|n| delivery(n, "http://dead/")).collect();
        dead.iter().for_each(|d| scheduler.add(d.clone(), Some(now)));
        assert_eq!(ats(&mut scheduler, now), [1, 2, 3, 4]);
        for d in &dead[..2] {
            scheduler.learn("http://dead", Health::Fails, None, now);
            scheduler.try_again(d.id, now + S);
        }
        for d in &dead[2..4] {
            assert_eq!(scheduler.learn("http://dead", Health::Fails, None, now), Change::None);
            scheduler.try_again(d.id, now + S);
        }
        scheduler.add(delivery(9, "http://alive/"), Some(now));
        assert_eq!(ats(&mut scheduler, now + 9 * S), [9]);
        assert_eq!(ats(&mut scheduler, now + 10 * S), [5], "a single probe");
        assert_eq!(scheduler.learn("http://dead", Health::Answers, None, now + 10 * S), Change::Closed);
        scheduler.delivered(dead[4].id);
        assert_eq!(ats(&mut scheduler, now + 10 * S), [1, 2, 3, 4]);
    }

    #[test]
    fn scheduler_retry_passes_open_circuit() {
        let (mut scheduler, now) = (DeliveryScheduler::new(limits(1, false)), Instant::now());
        let (one, two) = (delivery(1, "http://a/"), delivery(2, "http://a/"));
        scheduler.add(one.clone(), None);
        scheduler.add(two, Some(now));
        scheduler.restore_circuit("http://a", 7, now + 60 * S);
        assert!(ats(&mut scheduler, now).is_empty());
        scheduler.retry(one.id, now);
        assert_eq!(ats(&mut scheduler, now).len(), 1);
    }

    #[test]
    fn scheduler_honours_retry_after() {
        let (mut scheduler, now) = (DeliveryScheduler::new(limits(1, false)), Instant::now());
        let all: Vec<_> = (1..=2).map(|n| delivery(n, "http://a/")).collect();
        all.iter().for_each(|d| scheduler.add(d.clone(), Some(now)));
        assert_eq!(ats(&mut scheduler, now), [1]);
        scheduler.learn("http://a", Health::NotKnown, Some(now + 5 * S), now);
        scheduler.try_again(all[0].id, now + 5 * S);
        assert!(ats(&mut scheduler, now + 4 * S).is_empty());
        assert_eq!(ats(&mut scheduler, now + 5 * S), [2]);
    }
}
