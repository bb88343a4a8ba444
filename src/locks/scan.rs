//! One pass over all processes that finds, for every lock at once, what bears its mark.
//!
//! The command of `lock REPO -- CMD` has `RECOVERYCTL_LOCK_ID=<id>` in its environment, and besides
//! `RECOVERYCTL_LOCK_<id without hyphens>=1`, which a lock taken inside that command does not overwrite.
//! Costs about 30 µs a process of the machine, whatever the number of locks.
//!
//! Pitfalls. A child between fork and exec still has its parent's environment, but also its parent's
//! flock, so that the lock is then seen held. In the middle of exec the flock is gone and the new
//! environment is not yet there: it reads as empty, and such processes are looked at a second time. A
//! process that removed both marks from its environment, or runs as another real user, is not found.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::ffi::OsStrExt;

use super::caller::group_name;
use super::metadata::{LockMetadata, read_metadata};
use super::verdict::Survivors;
use crate::jobs::marks::{STATE_ID, STATE_INCARNATION};
use crate::jobs::may_work_on;
use crate::state::StateDir;
use crate::state::names::decode;
use crate::system::{Cgroup, Host, ProcessIdentity, environment_of};

/// The variable that holds the lock's id.
pub const LOCK_ID_VARIABLE: &str = "RECOVERYCTL_LOCK_ID";
/// The variable that names the state directory that a lock is of: id, incarnation and folder.
pub(super) const LOCK_STATE_VARIABLE: &str = "RECOVERYCTL_LOCK_STATE";
const MARK_PREFIX: &str = "RECOVERYCTL_LOCK_";

/// The variable that marks whatever is started under a lock, locks inside it included.
#[must_use]
pub fn mark_variable(lock_id: &str) -> String {
    format!("{MARK_PREFIX}{}", lock_id.replace('-', ""))
}

/// What one pass found.
pub(super) struct ProcessScan {
    /// By a lock's id without hyphens.
    marked: HashMap<String, Vec<ProcessIdentity>>,
    unreadable: Vec<Unreadable>,
    /// `/proc` itself could not be read.
    blind: bool,
    /// As whom we looked.
    uid: u32,
}

/// A process whose environment may not be read.
struct Unreadable {
    start_time: u64,
    /// `None` when that may not be read either.
    real_uid: Option<u32>,
}

impl ProcessScan {
    pub(super) fn take() -> ProcessScan {
        let uid = rustix::process::geteuid().as_raw();
        let mut scan = ProcessScan { marked: HashMap::new(), unreadable: Vec::new(), blind: false, uid };
        let Ok(entries) = std::fs::read_dir("/proc") else {
            scan.blind = true;
            return scan;
        };
        let pid_of = |name: std::ffi::OsString| std::str::from_utf8(name.as_bytes()).ok()?.parse().ok();
        let mut in_exec: Vec<u32> = Vec::new();
        for pid in entries.flatten().filter_map(|e| pid_of(e.file_name())) {
            if !scan.look_at(pid) {
                in_exec.push(pid);
            }
        }
        for pid in in_exec {
            scan.look_at(pid);
        }
        scan
    }

    /// False when the environment was empty, as in the middle of exec (and in kernel threads).
    fn look_at(&mut self, pid: u32) -> bool {
        let environment = match environment_of(pid) {
            Ok(environment) => environment,
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                // Process 1 was there before any lock.
                if let Some(process) = ProcessIdentity::of(pid).filter(|p| p.pid != 1) {
                    let start_time = process.start_time;
                    self.unreadable.push(Unreadable { start_time, real_uid: real_uid(pid) });
                }
                return true;
            }
            Err(_) => return true, // Gone.
        };
        let mut ids: Vec<String> = environment.iter().filter_map(|e| marked_lock(e)).collect();
        ids.sort();
        ids.dedup();
        if !ids.is_empty()
            && let Some(process) = ProcessIdentity::of(pid)
        {
            for id in ids {
                self.marked.entry(id).or_default().push(process);
            }
        }
        !environment.is_empty()
    }

    /// What is left of a lock's command.
    pub(super) fn survivors_of(&self, lock: &LockMetadata) -> Survivors {
        if let Some(found) = self.marked.get(&lock.lock_id.replace('-', "")) {
            return Survivors::Found(found.clone());
        }
        if self.blind {
            return Survivors::Unseen("/proc cannot be read".to_owned());
        }
        if self.uid != 0 && self.uid != lock.uid {
            return Survivors::Unseen(format!("it ran as user {}, this is user {}", lock.uid, self.uid));
        }
        // A descendant started after its ancestor, and as the same real user.
        let suspect = |u: &&Unreadable| {
            u.start_time >= lock.process.start_time && u.real_uid.is_none_or(|uid| uid == lock.uid)
        };
        match self.unreadable.iter().filter(suspect).count() {
            0 => Survivors::Absent,
            n => Survivors::Unseen(format!("{n} processes of that user may not be looked at")),
        }
    }
}

/// The processes that were given a repository, whichever lock of it: for when the lock's id is lost.
///
/// # Errors
/// Why not all processes of this machine that could have been can be seen.
pub(super) fn processes_given(repository: &str) -> Result<Vec<u32>, String> {
    /// The namespace that every process of the machine is in or below (`PROC_PID_INIT_INO`).
    const OUTERMOST_NAMESPACE: u64 = 0xEFFF_FFFC;
    if Host::this().pid_namespace != OUTERMOST_NAMESPACE {
        return Err("this is a process namespace of its own, others may be outside of it".to_owned());
    }
    let wanted = [super::run_under::REPOSITORY_VARIABLE.as_bytes(), b"=", repository.as_bytes()].concat();
    let entries = std::fs::read_dir("/proc").map_err(|e| format!("/proc cannot be read: {e}"))?;
    let mut found = Vec::new();
    for pid in entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok()) {
        match environment_of(pid) {
            Ok(environment) if environment.contains(&wanted) => found.push(pid),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && pid != 1 => {
                return Err(format!("process {pid} may not be looked at"));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The processes that work on a repository by a lock which another incarnation of the state directory has granted:
/// what was under way when a backup was put back. The files that were put back tell nothing of it. Those that have
/// cleared their environment are told by their control groups; of which repository they are is not known then, unless
/// the queue knows their job, and they may be of any.
pub(super) fn of_other_incarnations(dir: &StateDir, repository: &str) -> Vec<ProcessIdentity> {
    let mut found = marked_by_others(dir, Some(repository));
    let unmarked = may_work_on(dir, repository, &groups_of_lost_locks(dir));
    found.extend(unmarked.into_iter().filter(|p| !found.contains(p)).collect::<Vec<_>>());
    found
}

/// Whether anything lives that was started under a lock which another incarnation has granted.
pub(crate) fn have_survivors(dir: &StateDir) -> bool {
    !marked_by_others(dir, None).is_empty() || !groups_of_lost_locks(dir).is_empty()
}

/// The control groups with processes of locks that no file tells of: of a time that is lost.
fn groups_of_lost_locks(dir: &StateDir) -> Vec<Cgroup> {
    let prefix = group_name(&dir.identity.state_id.to_string(), "");
    let groups = Cgroup::named(&prefix).into_iter();
    let living: Vec<Cgroup> = groups.filter(|group| !matches!(group.is_populated(), Ok(false))).collect();
    if living.is_empty() {
        return living;
    }
    let entries = std::fs::read_dir(dir.paths.locks()).into_iter().flatten().flatten();
    let names = entries.filter_map(|e| decode(e.file_name().to_str()?.strip_suffix(".lock.json")?));
    let known: HashSet<String> = names
        .filter_map(|name| {
            let paths = dir.paths.lock(&name).ok()?;
            Some(read_metadata(&paths.metadata, &name).whole()?.lock_id.clone())
        })
        .collect();
    let lock_of =
        |group: &Cgroup| group.path().file_name()?.to_str()?.strip_prefix(&prefix).map(str::to_owned);
    let here = format!("{LOCK_STATE_VARIABLE}={}/{}", dir.identity.state_id, dir.mark());
    // What an earlier lock of this very incarnation has left.
    let is_ours = |process: &ProcessIdentity| {
        environment_of(process.pid).is_ok_and(|environment| environment.iter().any(|e| e == here.as_bytes()))
    };
    let is_lost = |group: &Cgroup| {
        lock_of(group).is_some_and(|lock| !known.contains(&lock)) && !group.processes().iter().any(is_ours)
    };
    living.into_iter().filter(is_lost).collect()
}

/// Those that bear the marks of another incarnation's grant, of one repository or of any.
fn marked_by_others(dir: &StateDir, repository: Option<&str>) -> Vec<ProcessIdentity> {
    let (id, mark) = (dir.identity.state_id.to_string(), dir.mark());
    let given = repository.map(|name| format!("{}={name}", super::run_under::REPOSITORY_VARIABLE));
    let granted_there = format!("{LOCK_STATE_VARIABLE}={id}/");
    let granted_here = format!("{granted_there}{mark}");
    let (job_there, job_here) = (format!("{STATE_ID}={id}"), format!("{STATE_INCARNATION}={mark}"));
    let is_marked =
        |environment: &[Vec<u8>], wanted: &str| environment.iter().any(|e| e == wanted.as_bytes());
    let is_other = |environment: &[Vec<u8>]| {
        let by_lock = environment
            .iter()
            .any(|e| e.starts_with(granted_there.as_bytes()) && e != granted_here.as_bytes());
        let by_job = is_marked(environment, &job_there) && !is_marked(environment, &job_here);
        given.as_ref().is_none_or(|given| is_marked(environment, given))
            && (by_lock || by_job && !is_marked(environment, &granted_here))
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let others = pids.filter(|pid| environment_of(*pid).is_ok_and(|environment| is_other(&environment)));
    others.filter_map(ProcessIdentity::of).collect()
}

/// The lock, without hyphens, that a `NAME=value` entry is a mark of.
pub(super) fn marked_lock(entry: &[u8]) -> Option<String> {
    let (name, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
    if name == LOCK_ID_VARIABLE {
        return Some(value.replace('-', ""));
    }
    name.strip_prefix(MARK_PREFIX).filter(|_| value == "1").map(str::to_owned)
}

fn real_uid(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_marks_name_the_lock_and_other_variables_do_not() {
        assert_eq!(marked_lock(b"RECOVERYCTL_LOCK_ID=01-ab").as_deref(), Some("01ab"));
        let mark = format!("{}=1", mark_variable("01-ab"));
        assert_eq!(marked_lock(mark.as_bytes()).as_deref(), Some("01ab"));
        assert_eq!(marked_lock(b"RECOVERYCTL_LOCK_TOKEN=7"), None);
        assert_eq!(marked_lock(b"PATH=/bin"), None);
    }
}
