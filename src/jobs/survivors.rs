//! What lives of jobs and of `lock` from before a backup was put back, and bears no marks any more.
//!
//! A command that has cleared its environment is still in its control group, whose name has the id of the state
//! directory and the claim or the lock that it was made for. A group that has processes and is of no time that this
//! directory knows is such a survivor's. Its job is told by where its processes print to: the output's folder has the
//! job's name, wherever that folder is by now. When that is told by nothing either, any job may be the one.

use std::collections::BTreeSet;

use super::fence;
use super::marks;
use super::traces::{job_of_output, output_files};
use crate::queue::{JobId, Queue};
use crate::state::StateDir;
use crate::system::{Cgroup, ProcessIdentity, environment_of};

/// A control group with processes that another incarnation of the state directory made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Survivor {
    /// Its processes, as far as they are seen from here.
    pub(super) processes: Vec<ProcessIdentity>,
    /// The job, where that can be told; `None` for what ran under `lock`, too.
    pub(super) job: Option<JobId>,
    repository: Option<String>,
}

/// Attempts of another incarnation of which something lives, by their control groups.
pub(super) fn by_group(dir: &StateDir) -> Vec<Survivor> {
    if !dir.may_have_survivors() {
        return Vec::new();
    }
    fence::of_other_incarnations(dir).iter().map(survivor).collect()
}

fn survivor(group: &Cgroup) -> Survivor {
    let processes = group.processes();
    let told = |name: &str| {
        processes.iter().find_map(|process| {
            let environment = environment_of(process.pid).ok()?;
            let value = environment.iter().find_map(|e| e.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
            String::from_utf8(value?.to_vec()).ok()
        })
    };
    let printing = || processes.iter().find_map(|process| job_of(process.pid));
    let job = told(marks::JOB_ID).and_then(|id| id.parse().ok()).or_else(printing);
    Survivor { job, repository: told(marks::REPOSITORY), processes }
}

/// The job whose output a process prints to, by the name that the output had.
fn job_of(pid: u32) -> Option<JobId> {
    output_files(pid).find_map(|output| job_of_output(&output))
}

/// The processes of another incarnation, without marks, that may work on a repository. `groups` are those of locks
/// that no file tells of.
pub(crate) fn may_work_on(dir: &StateDir, repository: &str, groups: &[Cgroup]) -> Vec<ProcessIdentity> {
    let mut survivors = by_group(dir);
    let jobs = survivors.len();
    survivors.extend(groups.iter().map(survivor));
    let queue = survivors.iter().any(|s| s.repository.is_none()).then(|| Queue::open(dir).ok()).flatten();
    let mut found = BTreeSet::new();
    for (at, survivor) in survivors.into_iter().enumerate() {
        let known = survivor.job.as_ref().filter(|_| at < jobs);
        let known = known.and_then(|id| Some(queue.as_ref()?.state().get(id)?.repository.clone()));
        let is_other = match (&survivor.repository, known) {
            (Some(told), _) => told != repository,
            // A job that has no repository works on none.
            (None, Some(known)) => known.as_deref() != Some(repository),
            (None, None) => false,
        };
        if !is_other {
            found.extend(survivor.processes.iter().map(|p| (p.pid, p.start_time)));
        }
    }
    found.into_iter().map(|(pid, start_time)| ProcessIdentity { pid, start_time }).collect()
}
