//! The control group of an attempt: its name, and how it is found again.
//!
//! Every attempt has a group of its own, named after state directory and claim, so that no two ever share
//! one. The supervisor makes it below its own group, the process that becomes the command joins it before
//! it does, and `command.json` says so. Where no group may be made, marks and sessions have to do.

use std::path::Path;

use crate::state::StateDir;
use crate::system::Cgroup;

/// The name of the group of the attempt that this claim began.
pub(super) fn name(dir: &StateDir, claim: u64) -> String {
    format!("recoveryctl-{}-{claim}", dir.identity.state_id)
}

/// The group that the files of an attempt tell of, if it is that attempt's own.
pub(super) fn recorded(dir: &StateDir, claim: u64, path: Option<&Path>) -> Option<Cgroup> {
    Cgroup::recorded(path?, &name(dir, claim))
}

/// Whether a group of this name was made for an attempt, of whatever state directory.
fn is_of_attempt(name: &str) -> bool {
    let id = name.strip_prefix("recoveryctl-").and_then(|rest| rest.get(..36));
    id.is_some_and(|id| id.parse::<uuid::Uuid>().is_ok())
}

/// Takes this process out of the control group of the attempt in which it was started, for it is to outlive that;
/// false when it is in none.
///
/// # Errors
/// What the system says.
pub fn leave_attempts_group() -> std::io::Result<bool> {
    crate::system::leave_groups(is_of_attempt)
}
