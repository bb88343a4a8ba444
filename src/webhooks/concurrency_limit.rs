//! Limits the number of concurrent attempts.
//!
//! Receivers that hang would take all slots and hold up the others until their timeout. So an attempt that
//! has been under way for a while gives its slot up, and only counts against a much higher limit.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::delivery::DeliveryId;

/// How long an attempt holds its slot.
const SLOW: Duration = Duration::from_secs(2);
/// The higher limit, which includes slow attempts, as a multiple of the number of slots.
const SLOW_TOO: usize = 8;
/// The largest number of concurrent attempts (one descriptor each), unless there are more slots.
const MOST: usize = 1024;

/// The attempts under way, with their slots.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    places: usize,
    most: usize,
    /// The attempts that hold a slot, ordered by their begin.
    held: BTreeSet<(Instant, DeliveryId)>,
    /// Attempts under way.
    taken: usize,
}

impl ConcurrencyLimit {
    pub(super) fn new(places: usize) -> ConcurrencyLimit {
        let most = places.saturating_mul(SLOW_TOO).min(MOST).max(places);
        ConcurrencyLimit { places, most, held: BTreeSet::new(), taken: 0 }
    }

    /// Returns how many attempts may begin now.
    pub(super) fn free(&mut self, now: Instant) -> usize {
        while self.held.first().is_some_and(|(begun, _)| now.saturating_duration_since(*begun) >= SLOW) {
            self.held.pop_first();
        }
        self.places.saturating_sub(self.held.len()).min(self.most.saturating_sub(self.taken))
    }

    /// Notes that an attempt begins.
    pub(super) fn take(&mut self, begun: Instant, id: DeliveryId) {
        self.held.insert((begun, id));
        self.taken += 1;
    }

    /// Notes that an attempt has ended.
    pub(super) fn give_back(&mut self, begun: Instant, id: DeliveryId) {
        self.held.remove(&(begun, id));
        self.taken = self.taken.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> DeliveryId {
        DeliveryId::derived(uuid::Uuid::nil(), &n.to_string(), "test")
    }

    #[test]
    fn slow_attempts_free_slots_up_to_cap() {
        let (mut places, begin) = (ConcurrencyLimit::new(2), Instant::now());
        let mut now = begin;
        for round in 0..8 {
            assert_eq!(places.free(now), 2, "round {round}");
            places.take(now, id(2 * round));
            places.take(now, id(2 * round + 1));
            assert_eq!(places.free(now + SLOW / 2), 0);
            now += SLOW;
        }
        assert_eq!(places.free(now), 0, "sixteen hang");
        places.give_back(begin, id(0));
        assert_eq!(places.free(now), 1);
        places.take(now, id(16));
        places.give_back(now, id(16));
        assert_eq!(places.free(now), 1);
    }

    #[test]
    fn slots_at_least_as_configured() {
        let now = Instant::now();
        for (configured, most) in [(1, 8), (32, 256), (200, 1024), (2000, 2000)] {
            let mut places = ConcurrencyLimit::new(configured);
            assert_eq!((places.free(now), places.most), (configured, most));
        }
    }
}
