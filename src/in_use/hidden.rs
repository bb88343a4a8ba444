//! Processes that do not let this user see what they use.
//!
//! Root may examine all processes. From another user most of a machine is hidden, and hidden processes cannot
//! protect every folder for ever, or none would ever be removed. So such a process counts as a user of a folder
//! when it may have entered it: it started after the folder was made, and it is none of these:
//!
//! - a thread of the kernel, or process 1;
//! - a service of the system: in a control group of `system.slice`, `machine.slice` or `init.scope`, unless that
//!   is also this process's own group;
//! - another user's process in that user's own slice: the state directory admits only its owner and root, and
//!   such a process has only what it inherited;
//! - the process by which another user logged in (`login`, `sshd`, `sudo -u`): root's, with a child of another
//!   user. In this process's or a job's control group only the one by which this process itself came in is
//!   excepted: any other process there may have started in its parent's folder.
//!
//! Where `/proc` does not list the processes of other users at all (`hidepid`), nothing is known of any folder.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use rustix::io::Errno;

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
/// Tolerance: a folder's creation time and a process's start come from different clocks.
const SLACK_MS: i64 = 2000;

pub(super) struct Stat {
    pub(super) is_kernel: bool,
    pub(super) threads: u64,
    parent: u32,
    start_time: u64,
}

/// # Errors
/// The system's error: the process may be gone, or hidden.
pub(super) fn stat(pid: u32) -> io::Result<Stat> {
    let text = crate::durable::plain::read(format!("/proc/{pid}/stat"))?;
    Stat::of(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

impl Stat {
    fn of(text: &[u8]) -> Option<Stat> {
        // The name in brackets may contain anything, brackets too.
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
}

/// Why processes of other users may be missing from the list without a trace: process 1 always exists, and every
/// user sees it where `/proc` hides none (`hidepid`).
pub(super) fn why_unlisted() -> Option<String> {
    let e = stat(1).err()?;
    Some(format!("processes of others cannot be listed (hidepid? process 1: {e}): run it as root"))
}

/// The hidden processes that count as possible users.
pub(super) fn possible_users(hidden: &[u32], all: &[u32]) -> Vec<Hidden> {
    if hidden.is_empty() {
        return Vec::new();
    }
    let own = group_of(std::process::id()).unwrap_or_default();
    let (mut users_below, mut parents) = (HashMap::<u32, Vec<u32>>::new(), HashMap::new());
    for &pid in all {
        if let (Ok(stat), Some(user)) = (stat(pid), user_of(pid)) {
            users_below.entry(stat.parent).or_default().push(user);
            parents.insert(pid, stat.parent);
        }
    }
    let mut above: Vec<u32> = vec![std::process::id()];
    while let Some(parent) = above.last().and_then(|pid| parents.get(pid)).filter(|pid| !above.contains(pid))
    {
        above.push(*parent);
    }
    let could = hidden.iter().filter_map(|&pid| {
        let stat = match stat(pid) {
            Ok(stat) => stat,
            Err(e) if is_gone(&e) => return None,
            // Its start time is not known either.
            Err(_) => return Some(Hidden { pid, start_time: u64::MAX }),
        };
        if stat.is_kernel || pid == 1 {
            return None;
        }
        let user = user_of(pid)?;
        let group = group_of(pid).unwrap_or_default();
        let is_door = user == 0
            && users_below.get(&pid).is_some_and(|below| below.iter().any(|&u| u != 0))
            && (above.contains(&pid) || !is_near(&group, &own));
        (!is_door && !is_apart(&group, &own, user)).then_some(Hidden { pid, start_time: stat.start_time })
    });
    could.collect()
}

/// Whether an error says that a process has ended.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::SRCH))
}

/// Whether a process may have been started from this process's control group or from a job's.
fn is_near(group: &str, own: &str) -> bool {
    let group = Path::new(group);
    is_of_job(group) || group == Path::new("") || group.starts_with(own) || Path::new(own).starts_with(group)
}

/// Whether a control group has a name that this program gives to groups of jobs.
fn is_of_job(group: &Path) -> bool {
    group.iter().any(|part| part.as_encoded_bytes().starts_with(b"recoveryctl-"))
}

/// Whether a control group shows that a process of this user does not come from jobs.
fn is_apart(group: &str, own: &str, user: u32) -> bool {
    let service = |group: &str| {
        let parts: Vec<&str> = group.trim_start_matches('/').split('/').collect();
        match parts.first() {
            Some(&("system.slice" | "machine.slice")) => Some(parts[..parts.len().min(2)].join("/")),
            Some(&"init.scope") => Some("init.scope".to_owned()),
            _ => None,
        }
    };
    let is_job = is_of_job(Path::new(group));
    let is_other_service = !is_job && service(group).is_some_and(|theirs| service(own) != Some(theirs));
    let slice = format!("user-{user}.slice");
    let is_other_user = user != 0 && group.split('/').any(|part| part == slice);
    let is_own_slice = own.split('/').any(|part| part == slice);
    is_other_service || (is_other_user && !is_own_slice)
}

/// The control group of a process, by version 2 or by systemd's own of version 1.
fn group_of(pid: u32) -> Option<String> {
    let text = crate::durable::plain::read_text(format!("/proc/{pid}/cgroup")).ok()?;
    let of =
        |head: &str| text.lines().find_map(|line| line.split_once(head)).map(|(_, group)| group.to_owned());
    of("0::").filter(|group| group != "/").or_else(|| of(":name=systemd:")).or_else(|| of("0::"))
}

impl Hidden {
    /// Whether the process may have entered a folder of this age.
    pub(super) fn could_be_in(&self, age_ms: Option<i64>) -> bool {
        // After the clock was set back, a folder's age can be negative.
        age_ms
            .filter(|age_ms| *age_ms >= 0)
            .is_none_or(|age_ms| self.age_ms() <= age_ms.saturating_add(SLACK_MS))
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
    fn is_apart_for_services_and_other_sessions() {
        let job = "/system.slice/recoveryctl.service/job-1";
        for (group, user, apart) in [
            ("/system.slice/sshd.service", 0, true),
            ("/system.slice/recoveryctl.service", 0, false),
            ("/system.slice/recoveryctl.service/job-2", 0, false),
            ("/init.scope", 0, true),
            ("/user.slice/user-1001.slice/session-3.scope", 1001, true),
            // A user who became root there, and a process that left its own user's slice.
            ("/user.slice/user-1001.slice/session-3.scope", 0, false),
            ("/user.slice/user-1001.slice/session-3.scope", 1002, false),
            ("/", 0, false),
            ("", 65534, false),
            // A job's group, seen from outside of the jobs' group.
            ("/system.slice/other.service/recoveryctl-0190-7", 0, false),
        ] {
            assert_eq!(is_apart(group, job, user), apart, "{group} {user}");
        }
        let own = "/user.slice/user-1000.slice/session-1.scope";
        assert!(!is_apart("/user.slice/user-1000.slice/session-2.scope", own, 1000));
        assert!(is_apart("/system.slice/cron.service", own, 0));
    }

    #[test]
    fn is_near_for_own_and_job_groups() {
        let own = "/user.slice/user-1000.slice/session-1.scope";
        for (group, near) in [
            (own, true),
            ("/user.slice/user-1000.slice/session-1.scope/below", true),
            ("/user.slice/user-1000.slice/session-12.scope", false),
            ("/user.slice/user-1001.slice/session-3.scope", false),
            ("/system.slice/x.service/recoveryctl-0190-7", true),
            ("/", true),
            ("", true),
        ] {
            assert_eq!(is_near(group, own), near, "{group}");
        }
    }

    #[test]
    fn hidden_process_older_than_folder_is_excluded() {
        let stat = stat(std::process::id()).unwrap();
        assert!(!stat.is_kernel && stat.threads > 0);
        let hidden = Hidden { pid: std::process::id(), start_time: stat.start_time };
        assert!(hidden.could_be_in(None) && hidden.could_be_in(Some(i64::MAX)));
        assert!(hidden.could_be_in(Some(-1)), "the clock was set back");
        let unknown = Hidden { pid: 1, start_time: u64::MAX };
        assert!(unknown.could_be_in(Some(0)));
        let first = Hidden { pid: 1, start_time: 0 };
        assert!(!first.could_be_in(Some(0)) && first.could_be_in(Some(i64::MAX)));
    }
}
