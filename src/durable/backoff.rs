//! Growing pauses between tries.

use std::time::Duration;

/// A pause that doubles with each failed try, up to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pause: Duration,
    longest: Duration,
}

impl Backoff {
    pub const fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff { pause: first, longest }
    }

    /// How long to wait before the next try. Each call doubles the next pause, up to the longest.
    pub fn pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = self.pause.saturating_mul(2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(3), Duration::from_millis(10));
        let pauses: Vec<u128> = (0..4).map(|_| backoff.pause().as_millis()).collect();
        assert_eq!(pauses, [3, 6, 10, 10]);
    }
}
