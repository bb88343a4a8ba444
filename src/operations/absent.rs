//! A state directory that is not where it is looked for: whether one may be made there without being asked for.
//!
//! A first `submit` that a person types means a new one. A client of a daemon, and what runs inside a job, mean the
//! one that they know: when that was moved or removed, a new one in its place would take jobs that nobody runs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::jobs::marks;
use crate::state::{Identity, StateError, StatePaths};

use super::error::{ErrorKind, OperationError, quoted};
use super::inside::Inside;

/// Who means a state directory that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expecting {
    /// A client of the daemon.
    Client,
    /// What runs inside a job of that directory.
    Job,
}

/// Whether what has this environment runs inside a job of the state directory at `root`.
pub(super) fn is_inside_job_of(root: &Path, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let (job, id) = (variable(marks::JOB_ID), variable(marks::STATE_ID));
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    // Another directory that it names is one of its own.
    let is_its_own =
        variable(marks::WORKSPACE).is_none_or(|workspace| Path::new(&workspace).starts_with(root));
    job.is_some() && id.is_some() && is_its_own
}

/// Why none is made, and what to type.
pub(super) fn refusal(
    missing: &StateError,
    root: &Path,
    expecting: Expecting,
    inside: Option<&Inside>,
) -> OperationError {
    let whose = match expecting {
        Expecting::Client => "the daemon that was asked works on the one that was there",
        Expecting::Job => "this runs inside a job of the one that was there",
    };
    let message = format!("{missing}; {whose}, so no new one is made");
    let error = OperationError::new(ErrorKind::NoStateDirectory, message).code("state-directory-gone");
    let error = match inside.and_then(place_now).filter(|_| expecting == Expecting::Job) {
        Some(now) => error.hint(format!("it is there now: recoveryctl --state-dir {} …", quoted(&now))),
        None => error.hint("where it is now: recoveryctl --state-dir PATH …"),
    };
    error.hint(format!("to make a new one all the same: recoveryctl --state-dir {} init", quoted(root)))
}

/// Where the state directory is that the job belongs to: above the folder that the job works in, wherever that is now.
fn place_now(inside: &Inside) -> Option<PathBuf> {
    let id = inside.variable(marks::STATE_ID)?.to_str()?;
    let folder = inside.folder.as_ref()?;
    let is_it = |root: &&Path| {
        let identity = Identity::read(&StatePaths::new(root.to_path_buf()).identity());
        matches!(identity, Ok(Some(identity)) if identity.state_id.to_string() == id)
    };
    folder.ancestors().find(is_it).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_directory_is_missed_by_what_runs_inside_a_job() {
        let set = |workspace: Option<&'static str>| {
            move |name: &str| match name {
                marks::JOB_ID => Some("a".into()),
                marks::STATE_ID => Some("id".into()),
                marks::WORKSPACE => workspace.map(OsString::from),
                _ => None,
            }
        };
        assert!(is_inside_job_of(Path::new("/s"), set(Some("/s/jobs/a"))));
        assert!(is_inside_job_of(Path::new("/s"), set(None)));
        assert!(!is_inside_job_of(Path::new("/other"), set(Some("/s/jobs/a"))));
        assert!(!is_inside_job_of(Path::new("/s"), |_| None));
    }
}
