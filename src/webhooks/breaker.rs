//! A circuit breaker for each endpoint: a dead endpoint is tried seldom, with one attempt at a time.

use std::time::{Duration, Instant};

/// When and how long a circuit opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// How many failures in a row open the circuit.
    pub failures: u32,
    /// The first pause; each failed probe doubles it.
    pub pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

/// The failures of one endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Breaker {
    failures: u32,
    open_until: Option<Instant>,
}

/// The change that the result of an attempt made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing that others need to know.
    None,
    /// The circuit opened: nothing is sent to the endpoint for this long.
    Opened {
        pause: Duration,
        /// Failures in a row.
        failures: u32,
    },
    /// The circuit closed: the endpoint answers again.
    Closed,
}

impl Breaker {
    /// Returns a breaker that was open when its process ended.
    pub(crate) fn opened(failures: u32, until: Instant) -> Breaker {
        Breaker { failures, open_until: Some(until) }
    }

    /// Returns the time before which nothing is sent; after it one attempt at a time goes out until one
    /// succeeds. `None` when the circuit is closed.
    pub(crate) fn open_until(&self) -> Option<Instant> {
        self.open_until
    }

    /// Lets an open circuit send a probe from now on.
    pub(crate) fn probe_now(&mut self, now: Instant) {
        self.open_until = self.open_until.map(|until| until.min(now));
    }

    /// Notes that the endpoint answered, even if it refused.
    pub(crate) fn succeeded(&mut self) -> Change {
        let was_open = self.open_until.is_some();
        *self = Breaker::default();
        if was_open { Change::Closed } else { Change::None }
    }

    /// Notes that the endpoint did not answer, or that it is in trouble.
    pub(crate) fn failed(&mut self, now: Instant, settings: &BreakerSettings) -> Change {
        self.failures = self.failures.saturating_add(1);
        // An attempt that was under way when the circuit opened changes nothing.
        if self.failures < settings.failures || self.open_until.is_some_and(|until| now < until) {
            return Change::None;
        }
        let doublings = (self.failures - settings.failures).min(16);
        let pause = settings.pause.saturating_mul(1 << doublings).min(settings.pause_max);
        self.open_until = Some(now + pause);
        Change::Opened { pause, failures: self.failures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaker_opens_longer_and_closes_at_success() {
        let settings = BreakerSettings {
            failures: 2,
            pause: Duration::from_secs(10),
            pause_max: Duration::from_secs(25),
        };
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        assert_eq!(breaker.failed(now, &settings), Change::None);
        for (failures, seconds) in [(2, 10), (3, 20), (4, 25), (5, 25)] {
            let pause = Duration::from_secs(seconds);
            assert_eq!(breaker.failed(now, &settings), Change::Opened { pause, failures });
            assert_eq!(breaker.open_until(), Some(now + pause));
            now += pause;
        }
        assert_eq!(breaker.succeeded(), Change::Closed);
        assert_eq!(breaker.succeeded(), Change::None);
        assert_eq!(breaker.failed(now, &settings), Change::None);
    }

    #[test]
    fn breaker_ignores_attempts_under_way() {
        let settings =
            BreakerSettings { failures: 1, pause: Duration::from_secs(10), pause_max: Duration::MAX };
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        assert!(matches!(breaker.failed(now, &settings), Change::Opened { .. }));
        let until = breaker.open_until();
        assert_eq!(breaker.failed(now, &settings), Change::None);
        assert_eq!(breaker.open_until(), until);
    }
}
