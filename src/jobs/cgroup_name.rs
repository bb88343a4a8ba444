//! The name of an attempt's control group, and how the group is found by it.
//!
//! Every attempt has a group of its own, named after state directory and claim, so that no two ever share one.
//! The supervisor makes the group below its own, the process that becomes the command joins it first, and
//! `command.json` records it. Where no group can be made, marks and sessions have to suffice.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use crate::queue::Claim;
use crate::state::StateDir;
use crate::system::Cgroup;

/// The purpose in the name of a control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MadeFor {
    /// An attempt.
    Attempt {
        /// The incarnation that made it.
        incarnation: u64,
        /// The claim that began the attempt.
        claim: Claim,
    },
    /// A command under `lock`.
    Lock {
        /// The incarnation that made it; `None` for the first one, and in groups of versions that did not record
        /// it.
        incarnation: Option<u64>,
        /// The grant.
        lock_id: String,
    },
    /// This version does not give such a name; it may be an attempt's.
    Unknown,
}

/// A group that has processes, or may have.
pub(crate) struct Populated {
    pub(crate) group: Cgroup,
    /// What it was made for.
    pub(crate) made_for: MadeFor,
}

/// The name of the group of the attempt that this claim began.
pub(super) fn name(dir: &StateDir, claim: Claim) -> String {
    format!("{}{claim}", prefix(dir, dir.identity.incarnation))
}

/// The name of the control group for a lock's command; this incarnation granted the lock.
pub(crate) fn lock_name(state_id: &str, incarnation: u64, lock_id: &str) -> String {
    format!("{}lock-{lock_id}", prefix_of(state_id, incarnation))
}

fn prefix(dir: &StateDir, incarnation: u64) -> String {
    prefix_of(&dir.identity.state_id.to_string(), incarnation)
}

/// The prefix of the names of an incarnation's groups. For the first incarnation it does not contain the number,
/// as in versions without incarnations.
fn prefix_of(state_id: &str, incarnation: u64) -> String {
    let later = if incarnation > 1 { format!("{incarnation}-") } else { String::new() };
    format!("recoveryctl-{state_id}-{later}")
}

/// The prefix of the names of all groups of a state directory.
fn prefix_of_all(dir: &StateDir) -> String {
    prefix(dir, 1)
}

impl MadeFor {
    /// `rest` is what follows the prefix of all groups.
    fn parse(rest: &str) -> MadeFor {
        let number = rest.split_once('-').and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
        let (incarnation, rest) = number.map_or((None, rest), |(number, rest)| (Some(number), rest));
        if let Some(lock_id) = rest.strip_prefix("lock-") {
            return MadeFor::Lock { incarnation, lock_id: lock_id.to_owned() };
        }
        match rest.parse() {
            Ok(claim) => MadeFor::Attempt { incarnation: incarnation.unwrap_or(1), claim },
            Err(_) => MadeFor::Unknown,
        }
    }

    /// The claim, if this incarnation made the group for an attempt.
    fn own_claim(&self, dir: &StateDir) -> Option<Claim> {
        match self {
            MadeFor::Attempt { incarnation, claim } if *incarnation == dir.identity.incarnation => {
                Some(*claim)
            }
            _ => None,
        }
    }
}

/// All groups of a state directory that can be seen from here.
fn all(dir: &StateDir) -> impl Iterator<Item = Populated> {
    let prefix = prefix_of_all(dir);
    Cgroup::named(&prefix).into_iter().map(move |group| {
        let name = group.path().file_name().and_then(OsStr::to_str);
        let rest = name.and_then(|name| name.strip_prefix(&prefix));
        let made_for = rest.map_or(MadeFor::Unknown, MadeFor::parse);
        Populated { group, made_for }
    })
}

/// Removes the empty groups of this state directory, except those of the claims in `living`. A supervisor
/// that was killed between making a group and naming it in its sentinel leaves one that only its name
/// identifies. Groups are listed before `living` is called, so a later claim's group is not among them.
///
/// Returns the number removed.
pub(crate) fn sweep(dir: &StateDir, living: impl FnOnce() -> HashSet<Claim>) -> usize {
    let groups: Vec<Populated> = all(dir).collect();
    if groups.is_empty() {
        return 0;
    }
    let living = living();
    let is_left = |made_for: &MadeFor| match made_for.own_claim(dir) {
        Some(claim) => !living.contains(&claim),
        // The group is of another incarnation: as long as processes of that may live, one may be about to join
        // the empty group.
        None => !dir.may_have_survivors(),
    };
    let left =
        groups.iter().filter(|of| is_left(&of.made_for) && matches!(of.group.is_populated(), Ok(false)));
    left.filter(|of| of.group.remove().is_ok()).count()
}

/// The groups of this state directory that have processes. A group that may not be read may have some.
pub(crate) fn populated(dir: &StateDir) -> Vec<Populated> {
    all(dir).filter(|of| !matches!(of.group.is_populated(), Ok(false))).collect()
}

/// The groups of attempts that another incarnation began.
pub(super) fn of_other_incarnations<'a>(
    dir: &StateDir,
    populated: &'a [Populated],
) -> impl Iterator<Item = &'a Cgroup> {
    let of_attempts = populated.iter().filter(|of| !matches!(of.made_for, MadeFor::Lock { .. }));
    of_attempts.filter(|of| of.made_for.own_claim(dir).is_none()).map(|of| &of.group)
}

/// The claims of this incarnation whose groups have processes.
pub(super) fn living_claims(dir: &StateDir) -> Vec<Claim> {
    populated(dir).iter().filter_map(|of| of.made_for.own_claim(dir)).collect()
}

/// The group named in the files of an attempt, if it is that attempt's own.
pub(super) fn recorded(dir: &StateDir, claim: Claim, path: Option<&Path>) -> Option<Cgroup> {
    let path = path?;
    // The restored files may record a group of an earlier incarnation.
    let of_earlier = dir.past.restored.as_ref().map(|restored| prefix(dir, restored.from_incarnation));
    let earlier = of_earlier.and_then(|prefix| Cgroup::recorded(path, &format!("{prefix}{claim}")));
    Cgroup::recorded(path, &name(dir, claim)).or(earlier)
}

/// Whether a group of this name was made for an attempt of any state directory.
fn is_of_attempt(name: &str) -> bool {
    let id = name.strip_prefix("recoveryctl-").and_then(|rest| rest.get(..36));
    id.is_some_and(|id| id.parse::<uuid::Uuid>().is_ok())
}

/// Takes this process out of the control group of the attempt in which it was started, because it must outlive
/// that attempt; false when it is in no such group.
pub fn leave_attempts_group() -> std::io::Result<bool> {
    crate::system::leave_groups(is_of_attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup_name_round_trip() {
        let attempt = |incarnation, claim| MadeFor::Attempt { incarnation, claim };
        let lock = |incarnation| MadeFor::Lock { incarnation, lock_id: "0192-ab".to_owned() };
        assert_eq!(MadeFor::parse("41"), attempt(1, Claim::of_record(41)));
        assert_eq!(MadeFor::parse("1796000000-41"), attempt(1_796_000_000, Claim::of_record(41)));
        assert_eq!(MadeFor::parse("lock-0192-ab"), lock(None));
        assert_eq!(MadeFor::parse("1796000000-lock-0192-ab"), lock(Some(1_796_000_000)));
        assert_eq!(MadeFor::parse("else"), MadeFor::Unknown);
        for (incarnation, told) in [(1, None), (1_796_000_000, Some(1_796_000_000))] {
            let name = lock_name("id", incarnation, "0192-ab");
            assert_eq!(MadeFor::parse(name.strip_prefix("recoveryctl-id-").unwrap()), lock(told));
        }
    }
}
