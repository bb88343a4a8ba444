//! Past attempts in the log, and how many of them are kept.

use std::time::Duration;

use super::record::{Attempted, Operation, Record};
use crate::durable::DiskError;
use crate::durable::log::{Position, ReadRequest, read};
use crate::state::{StateDir, Timestamp};

/// A compaction that would remove fewer surplus attempts than this is not worth its cost.
const FEW: u64 = 100;
/// This many settled deliveries take as much space in a compaction as one attempt.
const SETTLED_AN_ATTEMPT: u64 = 10;
/// Small surpluses are removed once a day, or sooner where attempts are kept for less than a day.
const OFTEN: Duration = Duration::from_secs(24 * 3600);
/// Small surpluses are not removed more often than this.
const SELDOM: Duration = Duration::from_secs(60);

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastAttempt {
    /// When it ended.
    pub ended_at: Timestamp,
    /// The recorded attempt.
    pub attempted: Attempted,
}

/// All attempts that the log still has, oldest first. Reads the whole log; changes nothing.
///
/// # Errors
/// The system's error. Damaged records are skipped.
pub fn attempts_in(dir: &StateDir) -> Result<Vec<PastAttempt>, DiskError> {
    let (folder, state_id) = (dir.paths.webhooks_log(), dir.identity.state_id.to_string());
    let request =
        ReadRequest { folder: &folder, state_id: Some(&state_id), from: Position::default(), until: None };
    let mut found: Vec<PastAttempt> = Vec::new();
    let mut compaction: Option<(u64, Vec<PastAttempt>)> = None;
    read(request, |_, payload| {
        let Ok(Record { at, operation, .. }) = serde_json::from_slice(payload) else { return };
        match operation {
            Operation::CompactionBegin => compaction = Some((0, Vec::new())),
            Operation::CompactionEnd { records } => {
                if let Some((_, kept)) = compaction.take().filter(|(n, _)| *n == records) {
                    found = kept;
                }
            }
            Operation::Kept { .. } | Operation::KeptSettled { .. } | Operation::KeptEndpoint { .. } => {
                if let Some((n, _)) = &mut compaction {
                    *n += 1;
                }
            }
            Operation::KeptAttempt { ended_at, attempted } => {
                if let Some((n, kept)) = &mut compaction {
                    *n += 1;
                    kept.push(PastAttempt { ended_at, attempted });
                }
            }
            Operation::Attempted(attempted) => found.push(PastAttempt { ended_at: at, attempted }),
            _ => {}
        }
    })?;
    Ok(found)
}

/// How long and how many ended attempts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptRetention {
    pub keep: Duration,
    /// The largest number of attempts that are kept.
    pub entries: usize,
}

impl AttemptRetention {
    /// Returns those of some attempts (oldest first) that are to be shown.
    pub(crate) fn of(self, attempts: Vec<PastAttempt>, now: Timestamp) -> Vec<PastAttempt> {
        self.split(attempts, now).1
    }

    /// Splits attempts into those that are not shown any more and those that are.
    pub(super) fn split(
        self,
        attempts: Vec<PastAttempt>,
        now: Timestamp,
    ) -> (Vec<PastAttempt>, Vec<PastAttempt>) {
        let since = self.since(now);
        let (mut past, mut recent): (Vec<_>, Vec<_>) = attempts.into_iter().partition(|a| a.ended_at < since);
        let shown = recent.split_off(recent.len().saturating_sub(self.entries));
        past.append(&mut recent);
        (past, shown)
    }

    fn since(self, now: Timestamp) -> Timestamp {
        now.plus_millis(-i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX))
    }

    /// Whether a compaction is worth its cost: when there are twice as many attempts as may stay, or when
    /// there are too many or some are too old and the last compaction was a while ago.
    pub(super) fn is_exceeded(self, counts: &AttemptCounts, settled: u64, now: Timestamp) -> bool {
        let entries = self.entries as u64;
        let extra = counts.attempts.saturating_sub(entries);
        let worth = entries.max(FEW).max(settled / SETTLED_AN_ATTEMPT);
        // Only attempts since the last compaction can make the next one shorten anything.
        if extra.min(counts.fresh) > worth {
            return true;
        }
        let Some(oldest) = counts.oldest else { return false };
        let pause = i64::try_from(self.keep.clamp(SELDOM, OFTEN).as_millis()).unwrap_or(i64::MAX);
        let passed = now.millis_since(counts.compacted_at.unwrap_or(oldest));
        // When the clock was set back, the time since the last compaction is unknown.
        (extra > 0 || oldest < self.since(now)) && !(0..pause).contains(&passed)
    }
}

/// How many attempts the log has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct AttemptCounts {
    attempts: u64,
    /// How many of them were written since the last compaction.
    fresh: u64,
    oldest: Option<Timestamp>,
    compacted_at: Option<Timestamp>,
}

impl AttemptCounts {
    /// Counts an attempt that a compaction kept.
    pub(super) fn has(&mut self, ended_at: Timestamp) {
        self.attempts += 1;
        self.oldest = Some(self.oldest.map_or(ended_at, |oldest| oldest.min(ended_at)));
    }

    /// Counts an attempt that has ended.
    pub(super) fn gets(&mut self, ended_at: Timestamp) {
        self.has(ended_at);
        self.fresh += 1;
    }

    /// Returns the counts after a compaction: only the attempts that it kept are left.
    pub(super) fn compacted(self, at: Timestamp) -> AttemptCounts {
        AttemptCounts { fresh: 0, compacted_at: Some(at), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 3_600_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn counts(attempts: u64, every_ms: i64) -> AttemptCounts {
        let mut counts = AttemptCounts::default();
        (0..attempts).for_each(|n| counts.gets(at(i64::try_from(n).unwrap() * every_ms)));
        counts
    }

    #[test]
    fn is_exceeded_by_count() {
        let some = AttemptRetention { keep: Duration::from_secs(3600), entries: 1000 };
        assert!(!some.is_exceeded(&counts(2000, 0), 0, at(1)));
        assert!(some.is_exceeded(&counts(2001, 0), 0, at(1)));
        assert!(
            !some.is_exceeded(&counts(2001, 0), 20_000, at(1)),
            "a compaction would write more than it drops"
        );
        let few = AttemptRetention { entries: 7, ..some };
        assert!(!few.is_exceeded(&counts(107, 0), 0, at(1)));
        assert!(few.is_exceeded(&counts(108, 0), 0, at(1)));
        // Attempts that a compaction keeps, for whatever reason, are no reason for another one.
        assert!(!few.is_exceeded(&counts(5000, 0).compacted(at(1)), 0, at(2)));
    }

    #[test]
    fn is_exceeded_by_age() {
        let long = AttemptRetention { keep: Duration::from_secs(30 * 24 * 3600), entries: 10_000 };
        let month = 30 * DAY_MS;
        assert!(!long.is_exceeded(&counts(10, 1000), 0, at(month)));
        assert!(long.is_exceeded(&counts(10, 1000), 0, at(month + 1)));
        let compacted = counts(10, 1000).compacted(at(month));
        assert!(!long.is_exceeded(&compacted, 0, at(month + DAY_MS - 1)));
        assert!(long.is_exceeded(&compacted, 0, at(month + DAY_MS)));
        let short = AttemptRetention { keep: Duration::from_secs(5), entries: 7 };
        assert!(!short.is_exceeded(&counts(8, 0), 0, at(59_999)));
        assert!(short.is_exceeded(&counts(1, 0), 0, at(60_000)));
        assert!(
            !short.is_exceeded(&AttemptCounts::default().compacted(at(0)), 0, at(DAY_MS)),
            "there is nothing"
        );
    }
}
