//! The time of a delivery's next try.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The source of random numbers; tests pass their own.
type Chance = fn() -> f64;

/// Returns a random number from 0 up to, but without, 1. It is as random as the seeds of hash maps.
pub(super) fn chance() -> f64 {
    let bits = RandomState::new().hash_one(0u8) >> 11;
    #[allow(clippy::cast_precision_loss)] // A double holds 53 bits.
    let part = bits as f64 / (1u64 << 53) as f64;
    part
}

/// The pause after a failed try: anything from nothing to the configured pause ("full jitter", M. Brooker,
/// "Exponential Backoff And Jitter", 2015), so that deliveries that failed together do not come back
/// together; at least the receiver's `Retry-After`. `None` when the tries are used up.
pub(super) fn pause_after(
    tries: u32,
    pauses: &[Duration],
    asked: Option<Duration>,
    chance: Chance,
) -> Option<Duration> {
    let longest = pauses.get(usize::try_from(tries.saturating_sub(1)).ok()?)?;
    let jittered = longest.mul_f64(chance());
    Some(asked.map_or(jittered, |asked| asked.max(jittered)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_after_uses_retry_after_as_minimum() {
        let pauses = [10, 100].map(Duration::from_secs);
        let half: Chance = || 0.5;
        let s = Duration::from_secs;
        assert_eq!(pause_after(1, &pauses, None, half), Some(s(5)));
        assert_eq!(pause_after(2, &pauses, None, half), Some(s(50)));
        assert_eq!(pause_after(2, &pauses, Some(s(60)), half), Some(s(60)));
        assert_eq!(pause_after(2, &pauses, Some(s(7)), half), Some(s(50)));
        assert_eq!(pause_after(3, &pauses, Some(s(7)), half), None);
        assert_eq!(pause_after(1, &[], None, half), None);
    }

    #[test]
    fn jitter_is_spread() {
        let mut lower = 0;
        for _ in 0..1000 {
            let part = chance();
            assert!((0.0..1.0).contains(&part));
            lower += u32::from(part < 0.5);
        }
        assert!((300..700).contains(&lower), "{lower} of 1000 in the lower half");
    }
}
