//! Whether the process that asks for a lock runs inside of its holder: a `lock` within a `lock`, through any
//! programs, or within the job that has the repository. Such a process would wait for itself.
//!
//! Any of three things proves it: the marks in the environment, which name the grant; an ancestor of this process
//! that is the process which took the lock; the control group of the lock's command.

use std::ffi::OsString;

use super::marks::marked_lock;
use super::metadata::{LockHolder, LockMetadata, LockState, read_metadata};
use crate::jobs::lock_name;
use crate::state::StateDir;
use crate::system::{Cgroup, ProcessIdentity, process_stat};

/// The process that asks, with its ancestors.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Ids of locks without hyphens.
    marks: Vec<String>,
    ancestors: Vec<ProcessIdentity>,
}

impl Caller {
    /// This process, with its environment.
    pub fn this(environment: impl Iterator<Item = (OsString, OsString)>) -> Caller {
        let marks = environment.filter_map(|(name, value)| {
            marked_lock(&[name.as_encoded_bytes(), b"=", value.as_encoded_bytes()].concat())
        });
        Caller { marks: marks.collect(), ancestors: ancestors() }
    }

    /// The holder of the repository, in words, if this process runs inside of it; `None` when another process, or
    /// none, holds it.
    pub fn is_inside(&self, dir: &StateDir, repository: &str) -> Option<String> {
        let paths = dir.paths.lock(repository).ok()?;
        let metadata = read_metadata(&paths.metadata, repository);
        let held = metadata.whole().filter(|m| m.state == LockState::Held)?;
        self.descends_from(dir, held).then(|| in_words(held))
    }

    fn descends_from(&self, dir: &StateDir, held: &LockMetadata) -> bool {
        let id = held.lock_id.replace('-', "");
        let has = |process: &ProcessIdentity| self.ancestors.contains(process);
        self.marks.contains(&id)
            || has(&held.process)
            || held.command.iter().chain(&held.left).any(has)
            || held.group(&dir.identity.state_id.to_string()).is_some_and(|group| group.has_this_process())
    }
}

fn in_words(held: &LockMetadata) -> String {
    match &held.holder {
        LockHolder::Job { job_id, attempt, .. } => format!("job {job_id} (attempt {attempt})"),
        LockHolder::Process => {
            format!("the command of `recoveryctl lock` ({}, process {})", held.operation, held.process.pid)
        }
    }
}

fn ancestors() -> Vec<ProcessIdentity> {
    let mut found = Vec::new();
    let mut next = std::os::unix::process::parent_id();
    // A PID that was used again could make the chain of parents a ring.
    while next > 1 && found.len() < 1000 {
        let Ok(stat) = process_stat(next) else { break };
        found.push(stat.identity);
        next = stat.parent;
    }
    found
}

impl LockMetadata {
    /// The control group of the lock's command, if one was made: by its present name, or by the one that versions gave
    /// which left the incarnation out.
    pub(super) fn group(&self, state_id: &str) -> Option<Cgroup> {
        let path = self.cgroup.as_deref()?;
        let incarnation = self.state_directory.map_or(1, |stamp| stamp.incarnation);
        let by_name = |incarnation| Cgroup::recorded(path, &lock_name(state_id, incarnation, &self.lock_id));
        by_name(incarnation).or_else(|| by_name(1))
    }

    /// Removes the control group of a command that is gone with all that it started; the `lock` that made it was
    /// killed before it could. One that is not empty stays.
    pub(super) fn remove_group(&self, state_id: &str) {
        if let Some(group) = self.group(state_id) {
            let _ = group.remove(); // See above.
        }
    }
}
