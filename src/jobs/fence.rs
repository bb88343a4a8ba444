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
