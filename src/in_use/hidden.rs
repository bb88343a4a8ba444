//! Processes that do not let this user look at what they use.
//!
//! Root may look at all of them. To another user most of a machine is hidden, and what is hidden cannot protect
//! everything for ever, or nothing would ever go. So such a process counts for a folder when it may have come into
//! it: it started after the folder was made, and it is none of these:
//!
//! - a thread of the kernel, or the first process;
//! - a service of the system: in a control group of `system.slice`, `machine.slice` or `init.scope`, unless that is
//!   also this process's own;
//! - another user's, in that user's own slice: the state directory lets only its owner and root in, and what such
//!   a process has not inherited it cannot enter;
//! - the door by which another user came in (`login`, `sshd`, `sudo -u`): root's, with a child of another user.

use std::collections::HashMap;

use crate::system::user_of;

/// A process that may use anything it can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hidden {
    pub(super) pid: u32,
    /// When it started, in clock ticks since boot.
    pub(super) start_time: u64,
}

/// The flag of a thread of the kernel in `/proc/PID/stat`.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// A folder's time of creation, and a process's start, are told by different clocks.
const SLACK_MS: i64 = 2000;

pub(super) struct Stat {
    pub(super) is_kernel: bool,
    pub(super) threads: u64,
    parent: u32,
    start_time: u64,
}

/// `None` when it is gone.
pub(super) fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything, brackets too.
    let end = text.iter().rposition(|&b| b == b')')?;
    let rest = std::str::from_utf8(&text[end + 1..]).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        is_kernel: number(6)? & KERNEL_THREAD != 0,
        threads: number(17)?,
        parent: u32::try_from(number(1)?).ok()?,
        start_time: number(19)?,
    })
}

/// Those of the hidden processes that count.
pub(super) fn those_that_could(hidden: &[u32], all: &[u32]) -> Vec<Hidden> {
    if hidden.is_empty() {
        return Vec::new();
    }
    let own = group_of(std::process::id()).unwrap_or_default();
    let mut users_below: HashMap<u32, Vec<u32>> = HashMap::new();
    for &pid in all {
        if let (Some(stat), Some(user)) = (stat(pid), user_of(pid)) {
            users_below.entry(stat.parent).or_default().push(user);
        }
    }
    let could = hidden.iter().filter_map(|&pid| {
        let stat = stat(pid).filter(|stat| !stat.is_kernel && pid != 1)?;
        let user = user_of(pid)?;
        let is_door = user == 0 && users_below.get(&pid).is_some_and(|below| below.iter().any(|&u| u != 0));
        let is_apart = is_apart(&group_of(pid).unwrap_or_default(), &own, user);
        (!is_door && !is_apart).then_some(Hidden { pid, start_time: stat.start_time })
    });
    could.collect()
}

/// Whether a control group tells that a process of this user does not come from jobs.
fn is_apart(group: &str, own: &str, user: u32) -> bool {
    let service = |group: &str| {
        let parts: Vec<&str> = group.trim_start_matches('/').split('/').collect();
        match parts.first() {
            Some(&("system.slice" | "machine.slice")) => Some(parts[..parts.len().min(2)].join("/")),
            Some(&"init.scope") => Some("init.scope".to_owned()),
            _ => None,
        }
    };
    let is_other_service = service(group).is_some_and(|theirs| service(own) != Some(theirs));
    let slice = format!("user-{user}.slice");
    let is_other_user = user != 0 && group.split('/').any(|part| part == slice);
    let is_own_slice = own.split('/').any(|part| part == slice);
    is_other_service || (is_other_user && !is_own_slice)
}

/// The control group of a process, by version 2 or by systemd's own of version 1.
fn group_of(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let of =
        |head: &str| text.lines().find_map(|line| line.split_once(head)).map(|(_, group)| group.to_owned());
    of("0::").filter(|group| group != "/").or_else(|| of(":name=systemd:")).or_else(|| of("0::"))
}

impl Hidden {
    /// Whether it may have come into a folder that was made so long ago.
    pub(super) fn could_be_in(&self, age_ms: Option<i64>) -> bool {
        age_ms.is_none_or(|age_ms| self.age_ms() <= age_ms.saturating_add(SLACK_MS))
    }

    fn age_ms(&self) -> i64 {
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let now_ms = now.tv_sec * 1000 + now.tv_nsec / 1_000_000;
        let started_ms = self.start_time.saturating_mul(1000) / ticks;
        (now_ms - i64::try_from(started_ms).unwrap_or(i64::MAX)).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_and_other_users_sessions_are_apart() {
        let job = "/system.slice/recoveryctl.service/job-1";
        for (group, user, apart) in [
            ("/system.slice/sshd.service", 0, true),
            ("/system.slice/recoveryctl.service", 0, false),
            ("/system.slice/recoveryctl.service/job-2", 0, false),
            ("/init.scope", 0, true),
            ("/user.slice/user-1001.slice/session-3.scope", 1001, true),
            // Somebody who became root there, and what has left its own user's slice.
            ("/user.slice/user-1001.slice/session-3.scope", 0, false),
            ("/user.slice/user-1001.slice/session-3.scope", 1002, false),
            ("/", 0, false),
            ("", 65534, false),
        ] {
            assert_eq!(is_apart(group, job, user), apart, "{group} {user}");
        }
        let own = "/user.slice/user-1000.slice/session-1.scope";
        assert!(!is_apart("/user.slice/user-1000.slice/session-2.scope", own, 1000));
        assert!(is_apart("/system.slice/cron.service", own, 0));
    }

    #[test]
    fn only_what_started_after_the_folder_was_made_could_be_in_it() {
        let stat = stat(std::process::id()).unwrap();
        assert!(!stat.is_kernel && stat.threads > 0);
        let hidden = Hidden { pid: std::process::id(), start_time: stat.start_time };
        assert!(hidden.could_be_in(None) && hidden.could_be_in(Some(i64::MAX)));
        let first = Hidden { pid: 1, start_time: 0 };
        assert!(!first.could_be_in(Some(0)) && first.could_be_in(Some(i64::MAX)));
    }
}
