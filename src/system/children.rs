//! What the children of this process have used, as the kernel adds it up when they are waited for.

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
    /// The most memory that one of them had resident, bytes. What a process had before it became another
    /// program counts too.
    pub memory_peak_bytes: u64,
}

/// What all children that were waited for have used, and theirs; `None` when the system does not tell.
#[must_use]
pub fn use_of_children() -> Option<ResourceUse> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
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
        memory_peak_bytes: u64::try_from(usage.max_rss()).unwrap_or(0) * 1024,
    })
}
