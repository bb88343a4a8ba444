//! The clock of this boot, which cannot be set and which goes on while the machine is suspended. A process in a
//! time namespace (time_namespaces(7)) sees that clock, and the start times of processes, shifted. Here all times
//! are those of the machine's first namespace, so that two processes agree.

use std::sync::OnceLock;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How far this process's view of the boot's clock is ahead, in milliseconds.
fn shift_ms() -> i64 {
    static SHIFT: OnceLock<i64> = OnceLock::new();
    *SHIFT.get_or_init(|| {
        let offsets = crate::durable::plain::read_text("/proc/self/timens_offsets").unwrap_or_default();
        parse(&offsets).unwrap_or(0)
    })
}

/// `boottime SECONDS NANOSECONDS`
fn parse(offsets: &str) -> Option<i64> {
    let line = offsets.lines().find_map(|line| line.trim_start().strip_prefix("boottime"))?;
    let mut numbers = line.split_ascii_whitespace().map(str::parse::<i64>);
    let (seconds, nanoseconds) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    seconds.checked_mul(1000)?.checked_add(nanoseconds / 1_000_000)
}

/// How long this machine has been running, suspends included.
pub(crate) fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let ms = now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000);
    Duration::from_millis(u64::try_from(ms.saturating_sub(shift_ms())).unwrap_or(0))
}

/// A start time from `/proc`, in clock ticks, converted to the machine's first time namespace.
pub(super) fn unshifted(ticks: u64) -> u64 {
    let per_second = i64::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100);
    let shift = shift_ms().saturating_mul(per_second) / 1000;
    ticks.wrapping_add_signed(shift.wrapping_neg())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_namespace_offsets() {
        assert_eq!(
            parse("monotonic           0         0\nboottime       86400 500000000\n"),
            Some(86_400_500)
        );
        assert_eq!(parse("boottime      -86400         0\n"), Some(-86_400_000));
        assert_eq!(parse(""), None);
    }
}
