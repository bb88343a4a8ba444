//! The control group of an attempt: its name, and how it is found again.
//!
//! Every attempt has a group of its own, named after state directory and claim, so that no two ever share
//! one. The supervisor makes it below its own group, the process that becomes the command joins it before
//! it does, and `command.json` says so. Where no group may be made, marks and sessions have to do.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use crate::state::StateDir;
use crate::system::Cgroup;

/// The name of the group of the attempt that this claim began.
pub(super) fn name(dir: &StateDir, claim: u64) -> String {
    format!("{}{claim}", prefix(dir, dir.identity.incarnation))
}

/// How the names of an incarnation's groups begin. Those of the first one have no part for it, as in what
/// versions without incarnations made.
fn prefix(dir: &StateDir, incarnation: u64) -> String {
    let later = if incarnation > 1 { format!("{incarnation}-") } else { String::new() };
    format!("recoveryctl-{}-{later}", dir.identity.state_id)
}

/// Removes the groups of this state directory that have lost their processes: those that no claim in `living`
/// made. A supervisor that was killed between making a group and naming it in its sentinel leaves one that only
/// its name tells of. Groups are listed before `living` is asked for: one of a later claim is not among them.
///
/// Returns how many were removed.
pub(crate) fn sweep(dir: &StateDir, living: impl FnOnce() -> HashSet<u64>) -> usize {
    let groups = Cgroup::named(&format!("recoveryctl-{}-", dir.identity.state_id));
    if groups.is_empty() {
        return 0;
    }
    let living = living();
    let is_left = |group: &Cgroup| {
        let name = group.path().file_name().and_then(OsStr::to_str).unwrap_or_default();
        let claim = name.strip_prefix(&prefix(dir, dir.identity.incarnation));
        let claim: Option<u64> = claim.and_then(|claim| claim.parse().ok());
        // Of another incarnation: as long as its processes may live, a group that is empty may be about to
        // be joined.
        claim.map_or(!dir.may_have_survivors(), |claim| !living.contains(&claim))
    };
    let left = groups.iter().filter(|group| is_left(group) && matches!(group.is_populated(), Ok(false)));
    left.filter(|group| group.remove().is_ok()).count()
}

/// The groups of attempts of this state directory that have processes: with the claim, where this incarnation made
/// them.
fn populated(dir: &StateDir) -> Vec<(Cgroup, Option<u64>)> {
    let all = format!("recoveryctl-{}-", dir.identity.state_id);
    let own = prefix(dir, dir.identity.incarnation);
    let named = Cgroup::named(&all).into_iter().filter_map(|group| {
        let name = group.path().file_name().and_then(OsStr::to_str)?.to_owned();
        let is_of_lock = name.strip_prefix(&all).is_some_and(|rest| rest.starts_with("lock-"));
        let claim = name.strip_prefix(&own).and_then(|claim| claim.parse().ok());
        (!is_of_lock).then_some((group, claim))
    });
    // One that may not be read may have processes.
    named.filter(|(group, _)| !matches!(group.is_populated(), Ok(false))).collect()
}

/// Those of attempts that another incarnation began.
pub(super) fn of_other_incarnations(dir: &StateDir) -> Vec<Cgroup> {
    populated(dir).into_iter().filter_map(|(group, claim)| claim.is_none().then_some(group)).collect()
}

/// The claims of this incarnation whose groups have processes.
pub(super) fn living_claims(dir: &StateDir) -> Vec<u64> {
    populated(dir).into_iter().filter_map(|(_, claim)| claim).collect()
}

/// The group that the files of an attempt tell of, if it is that attempt's own.
pub(super) fn recorded(dir: &StateDir, claim: u64, path: Option<&Path>) -> Option<Cgroup> {
    let path = path?;
    // That of an earlier incarnation is recorded in what was put back.
    let of_earlier = dir.past.restored.as_ref().map(|restored| prefix(dir, restored.from_incarnation));
    let earlier = of_earlier.and_then(|prefix| Cgroup::recorded(path, &format!("{prefix}{claim}")));
    Cgroup::recorded(path, &name(dir, claim)).or(earlier)
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
