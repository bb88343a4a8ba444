//! Findings about processes that survive from before a backup was restored and keep jobs from starting.

use std::collections::BTreeSet;

use super::scan::OtherTimes;
use crate::findings::{Finding, Object, catalogue};
use crate::jobs::findings::{left_running, of_other_incarnation, unknown_to_the_queue};
use crate::jobs::{ProcessTable, Users};
use crate::queue::{JobStatus, QueueState};
use crate::state::StateDir;
use crate::system::ProcessIdentity;

/// Processes that survive from before a backup was restored and keep queued jobs from starting: processes of
/// these jobs, of jobs that the queue does not know, and under locks of that time.
pub(crate) fn of_other_incarnations(dir: &StateDir, state: &QueueState) -> Vec<Finding> {
    if !dir.may_have_survivors() {
        return Vec::new();
    }
    let table = ProcessTable::new();
    let (mut found, mut told) = (Vec::new(), Vec::new());
    for (id, living) in
        table.living_jobs(dir).into_iter().filter(|(_, living)| living.is_of_other_incarnation)
    {
        match state.get(&id) {
            Some(job) if job.status == JobStatus::Queued => {
                found.push(of_other_incarnation(&Object::job(&id), &living.processes));
            }
            // The judgement of a running job reports this itself.
            Some(_) => {}
            None => found.extend(unknown_to_the_queue(&id, &living)),
        }
        told.extend(living.processes);
    }
    if let Some(processes) = table.unnamed_survivors(dir) {
        let closes = "it may be any of those that wait, so none is started";
        let sentence = left_running(&processes, "an unknown job", closes);
        found.push(Finding::new(&catalogue::UNKNOWN_JOB_LIVES, Object::Jobs, sentence));
        told.extend(processes);
    }
    let wanted: BTreeSet<_> = state.wanted_repositories().collect();
    let others = if wanted.is_empty() { None } else { Some(OtherTimes::look(dir)) };
    for repository in
        others.iter().flat_map(|others| wanted.iter().map(move |name| (name, others.users_of(name))))
    {
        found.extend(under_lock(repository.0, &repository.1, &told));
    }
    found
}

fn under_lock(repository: &str, users: &Users, told: &[ProcessIdentity]) -> Option<Finding> {
    let processes: Vec<_> = match users {
        Users::None => return None,
        Users::Seen(all) => all.iter().filter(|p| !told.contains(p)).copied().collect(),
        Users::Unseen => Vec::new(),
    };
    if processes.is_empty() && *users != Users::Unseen {
        return None;
    }
    let closes = format!("no job of repository '{repository}' is started");
    let sentence = left_running(&processes, "a command under a lock", &closes);
    Some(Finding::new(&catalogue::LOCK_OF_OTHER_INCARNATION, Object::lock(repository), sentence))
}
