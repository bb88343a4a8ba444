//! The peak memory of a command, from its exec on.
//!
//! The kernel's sum for a child (ru_maxrss) begins with the process that became the command, which is larger than
//! a small command ever gets. So that process's peak is recorded before exec. Where the sum does not exceed it,
//! the command's own high-water mark counts, which is read while the command runs: soon after its start, and then
//! less and less often.

use std::time::{Duration, Instant};

use crate::durable::Backoff;
use crate::system::{memory_high_water, runs_own_program};

const FIRST: Duration = Duration::from_millis(4);
const LONGEST: Duration = Duration::from_secs(2);
/// Between its record and its exec the process may still grow by one part in this many of its memory. Pages of its
/// program that come into memory only then count too, and a busy machine maps more of them at once.
const GROWTH: u64 = 8;

/// The high-water mark of one process.
#[derive(Debug)]
pub(super) struct Peak {
    pid: u32,
    seen: Option<u64>,
    backoff: Backoff,
    next: Instant,
}

impl Peak {
    pub(super) fn of(pid: u32) -> Peak {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        let next = Instant::now() + backoff.pause();
        Peak { pid, seen: None, backoff, next }
    }

    /// The time until the next reading is due.
    pub(super) fn until_next(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Reads the mark if that is due.
    pub(super) fn look_if_due(&mut self) {
        if !self.until_next().is_zero() {
            return;
        }
        self.next = Instant::now() + self.backoff.pause();
        if !runs_own_program(self.pid) {
            self.seen = self.seen.max(memory_high_water(self.pid));
        }
    }

    /// The peak in bytes, from the readings and the kernel's sum; `before` is the process's peak before exec.
    /// `None` when the command used less than that, and was never read.
    pub(super) fn most(&self, added_up: Option<u64>, before: Option<u64>) -> Option<u64> {
        let own = added_up.filter(|bytes| before.is_none_or(|before| *bytes > before + before / GROWTH));
        own.max(self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_excludes_memory_before_exec() {
        let peak = |seen| Peak { seen, ..Peak::of(1) };
        let mib = |n: u64| Some(n << 20);
        assert_eq!(peak(mib(2)).most(mib(12), mib(12)), mib(2));
        assert_eq!(peak(None).most(mib(12), mib(12)), None);
        assert_eq!(peak(mib(2)).most(mib(40), mib(39)), mib(2), "it grew before its exec");
        assert_eq!(peak(mib(2)).most(mib(50), mib(12)), mib(50), "a descendant, or later than the last look");
        assert_eq!(peak(mib(60)).most(mib(50), mib(12)), mib(60));
        assert_eq!(peak(None).most(mib(12), None), mib(12), "nothing tells what it had");
    }
}
