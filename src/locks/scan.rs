//! One pass over all processes that finds, for all locks at once, the processes with their marks.
//!
//! The command of `lock REPO -- CMD` has `RECOVERYCTL_LOCK_ID=<id>` in its environment, and also
//! `RECOVERYCTL_LOCK_<id without hyphens>=1`, which a lock taken inside that command does not overwrite.
//! The pass costs about 30 µs for each process of the machine, whatever the number of locks.
//!
//! Pitfalls: A child between fork and exec still has its parent's environment, but also its parent's flock, so
//! the lock then shows as held. In the middle of exec the flock is gone and the new environment is not yet there:
//! it reads as empty, and such processes are examined a second time. A process that removed both marks from its
//! environment, or runs as another real user, is not found.

use std::collections::{HashMap, HashSet};
use std::io;

use super::marks::REPOSITORY_VARIABLE;
use super::marks::{LOCK_STATE_VARIABLE, marked_lock};
use super::metadata::{LockMetadata, read_metadata};
use super::verdict::Survivors;
use crate::jobs::marks::{STATE_ID, STATE_INCARNATION};
use crate::jobs::{MadeFor, Populated, Survivor, Users, among, of_lock, populated, users_of};
use crate::queue::Queue;
use crate::state::StateDir;
use crate::state::names::decode;
use crate::system::{Cgroup, Host, ProcessIdentity, environment_of, pids};

/// The result of one pass.
pub(super) struct ProcessScan {
    /// The marked processes, by a lock's id without hyphens.
    marked: HashMap<String, Vec<ProcessIdentity>>,
    unreadable: Vec<Unreadable>,
    /// `/proc` itself could not be read.
    blind: bool,
    /// The user that this process scanned as.
    uid: u32,
}

/// A process whose environment may not be read.
struct Unreadable {
    start_time: u64,
    /// `None` when the user may not be read either.
    real_uid: Option<u32>,
}

impl ProcessScan {
    pub(super) fn take() -> ProcessScan {
        let uid = rustix::process::geteuid().as_raw();
        let mut scan = ProcessScan { marked: HashMap::new(), unreadable: Vec::new(), blind: false, uid };
        let Ok(pids) = pids() else {
            scan.blind = true;
            return scan;
        };
        let mut in_exec: Vec<u32> = Vec::new();
        for pid in pids {
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

    /// The processes that remain of a lock's command.
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

/// The processes that were given a repository, by any lock of it: for when the lock's id is lost.
///
/// # Errors
/// The reason when some process of this machine that could have been given it cannot be seen.
pub(super) fn processes_given(repository: &str) -> Result<Vec<u32>, String> {
    /// The namespace that contains every process of the machine, directly or nested (`PROC_PID_INIT_INO`).
    const OUTERMOST_NAMESPACE: u64 = 0xEFFF_FFFC;
    if Host::this().pid_namespace != OUTERMOST_NAMESPACE {
        return Err("this is a process namespace of its own, others may be outside of it".to_owned());
    }
    let wanted = [REPOSITORY_VARIABLE.as_bytes(), b"=", repository.as_bytes()].concat();
    let mut found = Vec::new();
    for pid in pids().map_err(|e| format!("/proc cannot be read: {e}"))? {
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

/// Processes from before a backup was restored that may work on repositories: processes of jobs, and processes
/// under locks that another incarnation of the state directory granted. The restored files do not name them.
/// Those that have cleared their environment are found by their control groups (see [`crate::jobs::Survivor`]).
/// One scan answers for any number of repositories.
pub(crate) struct OtherTimes {
    /// The marked processes, each with the repository that it was given.
    marked: Vec<(Option<String>, ProcessIdentity)>,
    unmarked: Vec<Survivor>,
    /// The queue, opened only where it may be needed.
    queue: Option<Queue>,
}

impl OtherTimes {
    /// Scans all processes and control groups, but only where processes of another incarnation may live.
    pub(crate) fn look(dir: &StateDir) -> OtherTimes {
        if !dir.may_have_survivors() {
            return OtherTimes { marked: Vec::new(), unmarked: Vec::new(), queue: None };
        }
        let populated = populated(dir);
        let mut unmarked = among(dir, &populated);
        let queue = if unmarked.is_empty() { None } else { Queue::open(dir).ok() };
        unmarked.extend(of_lost_locks(dir, &populated));
        OtherTimes { marked: marked_by_others(dir), unmarked, queue }
    }

    /// The processes that may work on a repository.
    pub(crate) fn users_of(&self, repository: &str) -> Users {
        let given = self.marked.iter().filter(|(given, _)| given.as_deref() == Some(repository));
        let mut found: Vec<ProcessIdentity> = given.map(|(_, process)| *process).collect();
        let unmarked = users_of(repository, &self.unmarked, self.queue.as_ref().map(Queue::state));
        match unmarked {
            Users::Seen(others) => {
                found.extend(others.into_iter().filter(|p| !found.contains(p)).collect::<Vec<_>>());
            }
            Users::Unseen if found.is_empty() => return Users::Unseen,
            Users::Unseen | Users::None => {}
        }
        if found.is_empty() { Users::None } else { Users::Seen(found) }
    }

    /// Whether any such process lives.
    pub(crate) fn is_any(&self) -> bool {
        !self.marked.is_empty() || !self.unmarked.is_empty()
    }
}

/// Processes in control groups of locks that no file names: of another incarnation.
fn of_lost_locks(dir: &StateDir, populated: &[Populated]) -> Vec<Survivor> {
    let locks = populated.iter().filter_map(|of| match &of.made_for {
        // What is left of an earlier lock of this very incarnation does not count here.
        MadeFor::Lock { incarnation, lock_id } if *incarnation != Some(dir.identity.incarnation) => {
            Some((&of.group, lock_id.as_str()))
        }
        _ => None,
    });
    let locks: Vec<(&Cgroup, &str)> = locks.collect();
    if locks.is_empty() {
        return Vec::new();
    }
    let known: HashSet<String> = lock_names(dir)
        .filter_map(|name| {
            let paths = dir.paths.lock(&name).ok()?;
            Some(read_metadata(&paths.metadata, &name).whole()?.lock_id.clone())
        })
        .collect();
    // Group names of earlier versions do not have the incarnation, but the marks do.
    let here = format!("{LOCK_STATE_VARIABLE}={}/{}", dir.identity.state_id, dir.mark());
    let is_ours = |process: &ProcessIdentity| {
        environment_of(process.pid).is_ok_and(|environment| environment.iter().any(|e| e == here.as_bytes()))
    };
    let is_lost =
        |group: &Cgroup, lock: &str| !known.contains(lock) && !group.processes().iter().any(is_ours);
    locks
        .into_iter()
        .filter(|(group, lock)| is_lost(group, lock))
        .map(|(group, lock)| of_lock(group, lock))
        .collect()
}

/// The names of the repositories whose locks have metadata.
pub(crate) fn lock_names(dir: &StateDir) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(dir.paths.locks()).into_iter().flatten().flatten();
    entries.filter_map(|e| decode(e.file_name().to_str()?.strip_suffix(".lock.json")?))
}

/// Processes with the marks of another incarnation's job or grant, each with the repository that it was given.
fn marked_by_others(dir: &StateDir) -> Vec<(Option<String>, ProcessIdentity)> {
    let (id, mark) = (dir.identity.state_id.to_string(), dir.mark());
    let given = format!("{REPOSITORY_VARIABLE}=");
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
        by_lock || by_job && !is_marked(environment, &granted_here)
    };
    let others = pids().unwrap_or_default().into_iter().filter_map(|pid| {
        let environment = environment_of(pid).ok().filter(|environment| is_other(environment))?;
        let repository = environment.iter().find_map(|e| e.strip_prefix(given.as_bytes()));
        let repository = repository.and_then(|name| String::from_utf8(name.to_vec()).ok());
        Some((repository, ProcessIdentity::of(pid)?))
    });
    others.collect()
}

fn real_uid(pid: u32) -> Option<u32> {
    let status = crate::durable::plain::read_text(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
