//! The resource use of this process's children, which the kernel adds up when they are waited for.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// Processor time and memory of processes that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResourceUse {
    /// Processor time in user mode, milliseconds, all of them together.
    pub cpu_user_ms: u64,
    /// Processor time in the kernel, milliseconds, all of them together.
    pub cpu_system_ms: u64,
    /// The most memory that one of them had resident, bytes; `None` when that is not known.
    #[serde(default)]
    pub memory_peak_bytes: Option<u64>,
}

/// The use of all children that were waited for, with theirs; `None` when the system does not tell. The use
/// of a process before its exec counts too.
pub(crate) fn use_of_children() -> Option<ResourceUse> {
    use_of(UsageWho::RUSAGE_CHILDREN)
}

/// The same of this process.
pub(crate) fn use_of_this_process() -> Option<ResourceUse> {
    use_of(UsageWho::RUSAGE_SELF)
}

/// Peak memory of a process since its exec, in bytes.
pub(crate) fn memory_high_water(pid: u32) -> Option<u64> {
    let status = crate::durable::plain::read_text(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Whether a process runs the program that this one runs.
pub(crate) fn runs_own_program(pid: u32) -> bool {
    let program = |process: &str| std::fs::read_link(format!("/proc/{process}/exe")).ok();
    program("self") == program(&pid.to_string())
}

impl ResourceUse {
    /// The difference to an earlier value.
    pub(crate) fn since(self, before: ResourceUse) -> ResourceUse {
        ResourceUse {
            cpu_user_ms: self.cpu_user_ms.saturating_sub(before.cpu_user_ms),
            cpu_system_ms: self.cpu_system_ms.saturating_sub(before.cpu_system_ms),
            ..self
        }
    }
}

fn use_of(whose: UsageWho) -> Option<ResourceUse> {
    let usage = getrusage(whose).ok()?;
    let ms = |seconds: i64, micros: i64| {
        let time = Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
            + Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    };
    let (user, system) = (usage.user_time(), usage.system_time());
    Some(ResourceUse {
        cpu_user_ms: ms(user.tv_sec(), user.tv_usec()),
        cpu_system_ms: ms(system.tv_sec(), system.tv_usec()),
        // In kilobytes, says getrusage(2).
        memory_peak_bytes: u64::try_from(usage.max_rss()).ok().map(|kilobytes| kilobytes * 1024),
    })
}
