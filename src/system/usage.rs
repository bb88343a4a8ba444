//! Resource use of processes, for display only. No verdict depends on it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::process::{Presence, ProcessIdentity, presence};

/// What one process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Resident memory, bytes.
    pub memory_bytes: u64,
    /// Processor time since it started, milliseconds.
    pub cpu_ms: u64,
}

/// The use of these processes; those that are gone or hidden are left out. Only these are read.
pub(crate) fn usage_of(processes: &[ProcessIdentity]) -> HashMap<u32, Usage> {
    let pids: Vec<Pid> = processes.iter().map(|p| Pid::from_u32(p.pid)).collect();
    let Ok(mut system) = System::new() else { return HashMap::new() };
    let wanted = ProcessRefreshKind::nothing().with_memory().with_cpu();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), false, wanted);
    let seen = processes.iter().filter_map(|identity| {
        let process = system.process(Pid::from_u32(identity.pid))?;
        let usage = Usage { memory_bytes: process.memory(), cpu_ms: process.accumulated_cpu_time() };
        // The identity is compared after the reading, so the reading was of this process.
        (presence(*identity) == Presence::Alive).then_some((identity.pid, usage))
    });
    seen.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_of_living_and_successor() {
        let this = ProcessIdentity::this();
        assert!(usage_of(&[this])[&this.pid].memory_bytes > 0);
        assert!(usage_of(&[ProcessIdentity { start_time: this.start_time + 1, ..this }]).is_empty());
    }
}
