//! Notices whether the clock was set while this process ran: times before and after such a change cannot be
//! compared.

use std::time::Duration;

use super::clock::{Clock, Timestamp};
use super::since_boot;

/// A smaller correction of the clock does not count as a jump.
const JUMP: Duration = Duration::from_secs(60 * 60);
/// For this long after the clock was set forward, nothing is removed for its age, unless the clock is set back.
const REST: Duration = Duration::from_secs(24 * 60 * 60);

/// Compares the clock with that of the boot.
#[derive(Debug, Default)]
pub(crate) struct ClockWatch {
    /// The clock minus the boot's clock, at the last check.
    last: Option<i64>,
    ahead: Option<Jump>,
}

/// The clock was set forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Jump {
    /// When that was noticed, by the clock as set.
    pub at: Timestamp,
    /// By how much, in milliseconds.
    pub by_ms: i64,
    /// By the boot's clock.
    seen: Duration,
}

impl ClockWatch {
    /// Checks the clock, and says by how much it was set forward of late; `None` when ages can be computed from
    /// dates.
    pub(crate) fn ahead(&mut self, clock: &Clock) -> Option<Jump> {
        self.look(clock.now(), since_boot())
    }

    fn look(&mut self, now: Timestamp, since_boot: Duration) -> Option<Jump> {
        let difference = now.as_millis() - millis(since_boot);
        let before = self.last.replace(difference).unwrap_or(difference);
        let by_ms = difference - before;
        if by_ms >= millis(JUMP) {
            let by_ms = by_ms + self.ahead.map_or(0, |jump| jump.by_ms);
            self.ahead = Some(Jump { at: now, by_ms, seen: since_boot });
        } else if by_ms <= -millis(JUMP) {
            // The clock is as it was before, or further back: anything that is too old now was too old then.
            let left = self.ahead.map(|jump| Jump { by_ms: jump.by_ms + by_ms, ..jump });
            self.ahead = left.filter(|jump| jump.by_ms >= millis(JUMP));
        }
        self.ahead = self.ahead.filter(|jump| since_boot.saturating_sub(jump.seen) < REST);
        self.ahead
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1000;

    #[test]
    fn jump_ahead_until_reverted_or_a_day() {
        let at = |watch: &mut ClockWatch, clock_ms: i64, boot_ms: u64| {
            watch
                .look(Timestamp::from_millis(clock_ms), Duration::from_millis(boot_ms))
                .map(|jump| jump.by_ms)
        };
        let mut watch = ClockWatch::default();
        assert_eq!(at(&mut watch, 1_000, 500), None);
        assert_eq!(
            at(&mut watch, DAY, u64::try_from(DAY).unwrap() - 500),
            None,
            "time that passed, or a suspend"
        );
        assert_eq!(at(&mut watch, 2 * DAY + 5, u64::try_from(DAY).unwrap() - 495), Some(DAY));
        assert_eq!(at(&mut watch, 2 * DAY + 9, u64::try_from(DAY).unwrap() - 491), Some(DAY));
        assert_eq!(at(&mut watch, DAY + 10, u64::try_from(DAY).unwrap() - 490), None, "set back");
        assert_eq!(at(&mut watch, 9 * DAY, u64::try_from(DAY).unwrap()), Some(8 * DAY - 500));
        assert_eq!(at(&mut watch, 10 * DAY, 2 * u64::try_from(DAY).unwrap()), None, "a day later");
        assert_eq!(at(&mut watch, 5 * DAY, 2 * u64::try_from(DAY).unwrap()), None, "back alone is no matter");
    }
}
