//! Processes of jobs and of `lock` from before a backup was restored that have no marks any more.
//!
//! A command that has cleared its environment is still in its control group, whose name has the id of the state
//! directory and the claim or the lock that it was made for. A group that has processes and belongs to no time
//! that this directory knows is such a survivor's. Its job is found by its processes' output: the output's folder
//! has the job's name, wherever that folder is by now. When that fails, it may be any job's.
//!
//! Its repositories are found by the marks of those processes that have some, and by the queue where it knows the
//! job. Each source may know of a repository that the others do not: when a job that has one repository takes a
//! `lock` on another, the processes under that lock name only the second. So all of them count, and a group
//! counts for every repository until one of its processes names the repository that it was begun with.

use std::collections::BTreeSet;

use super::cgroup_name::{self, Populated};
use super::marks;
use super::traces::{job_of_output, outputs_of};
use crate::queue::{JobId, QueueState};
use crate::state::StateDir;
use crate::system::{Cgroup, ProcessIdentity, environment_of};

/// The purpose of a control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An attempt; of this job, where the job is known.
    Attempt(Option<JobId>),
    /// A command under `lock`.
    Lock,
}

/// A control group with processes that another incarnation of the state directory made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Survivor {
    /// Its processes, as far as they are seen from here.
    pub(crate) processes: Vec<ProcessIdentity>,
    pub(crate) origin: Origin,
    /// The repositories that its processes were given, by the job or by a `lock` inside of it.
    pub(super) repositories: BTreeSet<String>,
    /// Whether its processes name the repository that it was begun with, or show that it had none.
    pub(super) tells_repository: bool,
}

/// The processes that work, or may work, on a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Users {
    /// There are none.
    None,
    /// These processes.
    Seen(Vec<ProcessIdentity>),
    /// A group that has processes, none of which can be seen.
    Unseen,
}

/// Attempts of another incarnation with living processes, by their control groups.
pub(super) fn of_attempts(dir: &StateDir) -> Vec<Survivor> {
    if !dir.may_have_survivors() {
        return Vec::new();
    }
    among(dir, &cgroup_name::populated(dir))
}

/// The same, from a list of the groups that have processes.
pub(crate) fn among(dir: &StateDir, populated: &[Populated]) -> Vec<Survivor> {
    cgroup_name::of_other_incarnations(dir, populated).map(of_attempt).collect()
}

fn of_attempt(group: &Cgroup) -> Survivor {
    let processes = group.processes();
    let told: Vec<Told> = processes.iter().filter_map(|process| Told::by(process.pid)).collect();
    let printing = || processes.iter().find_map(|process| job_of(process.pid));
    let job = told.iter().find_map(|told| told.job.clone()?.parse().ok()).or_else(printing);
    Survivor {
        origin: Origin::Attempt(job),
        tells_repository: told.iter().any(|told| told.job.is_some() && !told.is_under_lock),
        repositories: told.into_iter().filter_map(|told| told.repository).collect(),
        processes,
    }
}

/// The living processes in the control group of this lock.
pub(crate) fn of_lock(group: &Cgroup, lock: &str) -> Survivor {
    let processes = group.processes();
    let told: Vec<Told> = processes.iter().filter_map(|process| Told::by(process.pid)).collect();
    let names_it = |told: &Told| told.repository.is_some() && told.lock.as_deref() == Some(lock);
    Survivor {
        origin: Origin::Lock,
        tells_repository: told.iter().any(names_it),
        repositories: told.into_iter().filter_map(|told| told.repository).collect(),
        processes,
    }
}

/// What a process's environment says.
struct Told {
    job: Option<String>,
    lock: Option<String>,
    repository: Option<String>,
    is_under_lock: bool,
}

impl Told {
    fn by(pid: u32) -> Option<Told> {
        let environment = environment_of(pid).ok()?;
        let told = |name: &str| {
            let value = environment.iter().find_map(|e| e.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
            String::from_utf8(value?.to_vec()).ok()
        };
        Some(Told {
            job: told(marks::JOB_ID),
            lock: told(marks::LOCK_ID),
            repository: told(marks::REPOSITORY),
            is_under_lock: told(marks::LOCK_STATE).is_some(),
        })
    }
}

/// The job whose output a process prints to, by the name that the output had.
fn job_of(pid: u32) -> Option<JobId> {
    outputs_of(pid).find_map(|output| job_of_output(&output.path()))
}

impl Survivor {
    /// The job, where it is known.
    pub(super) fn job(&self) -> Option<&JobId> {
        match &self.origin {
            Origin::Attempt(job) => job.as_ref(),
            Origin::Lock => None,
        }
    }

    /// Whether the job of this attempt is unknown.
    pub(super) fn is_unnamed(&self) -> bool {
        self.origin == Origin::Attempt(None)
    }

    fn may_work_on(&self, repository: &str, queue: Option<&QueueState>) -> bool {
        let known = self.job().and_then(|id| queue?.get(id));
        let by_queue = known.and_then(|job| job.repository.as_deref());
        self.repositories.contains(repository)
            || by_queue == Some(repository)
            || (known.is_none() && !self.tells_repository)
    }
}

/// The survivors that may work on a repository.
pub(crate) fn users_of(repository: &str, survivors: &[Survivor], queue: Option<&QueueState>) -> Users {
    let mut found = BTreeSet::new();
    let mut is_unseen = false;
    for survivor in survivors.iter().filter(|survivor| survivor.may_work_on(repository, queue)) {
        is_unseen |= survivor.processes.is_empty();
        found.extend(survivor.processes.iter().map(|p| (p.pid, p.start_time)));
    }
    match (found.is_empty(), is_unseen) {
        (true, false) => Users::None,
        (true, true) => Users::Unseen,
        (false, _) => {
            let identity = |(pid, start_time)| ProcessIdentity { pid, start_time };
            Users::Seen(found.into_iter().map(identity).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survivor(origin: Origin, repositories: &[&str], tells_repository: bool, pids: &[u32]) -> Survivor {
        Survivor {
            processes: pids.iter().map(|&pid| ProcessIdentity { pid, start_time: 1 }).collect(),
            origin,
            repositories: repositories.iter().map(|&name| name.to_owned()).collect(),
            tells_repository,
        }
    }

    #[test]
    fn users_of_repository_by_survivor_marks() {
        let process = |pid| ProcessIdentity { pid, start_time: 1 };
        let attempt = Origin::Attempt(Some("a".parse().unwrap()));
        for origin in [Origin::Lock, Origin::Attempt(None), attempt] {
            let users = |survivor| users_of("web", &[survivor], None);
            assert_eq!(users(survivor(origin.clone(), &["api"], true, &[7])), Users::None);
            assert_eq!(users(survivor(origin.clone(), &[], true, &[7])), Users::None);
            // A process under a lock on another repository, in a job that may have this one.
            assert_eq!(users(survivor(origin.clone(), &["api"], false, &[7])), Users::Seen(vec![process(7)]));
            assert_eq!(
                users(survivor(origin.clone(), &["api", "web"], true, &[7])),
                Users::Seen(vec![process(7)])
            );
            assert_eq!(users(survivor(origin, &[], false, &[])), Users::Unseen);
        }
    }
}
