//! Why a process does not end although it was signalled.

use super::cgroup;
use super::process::process_stat;
use super::process_probe::user_of;

/// A reason why a process does not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// It runs as a user whose processes this user may not signal.
    OtherUser {
        /// That user.
        uid: u32,
    },
    /// It waits in the kernel, for a device or a file system that does not answer.
    Uninterruptible,
    /// Its control group is frozen.
    Frozen,
    /// A debugger holds it.
    Traced,
    /// No visible reason.
    Unknown,
}

/// The reason why this user cannot end a process.
pub(crate) fn hindrance_of(pid: u32, by: u32) -> Hindrance {
    let stat = process_stat(pid).ok();
    match user_of(pid) {
        Some(uid) if by != 0 && uid != by => Hindrance::OtherUser { uid },
        _ if cgroup::is_frozen(pid) => Hindrance::Frozen,
        _ if stat.is_some_and(|s| s.is_uninterruptible) => Hindrance::Uninterruptible,
        _ if stat.is_some_and(|s| s.is_traced) => Hindrance::Traced,
        _ => Hindrance::Unknown,
    }
}

impl Hindrance {
    /// In words, to follow the name of the process.
    pub(crate) fn describe(self, by: u32) -> String {
        match self {
            Hindrance::OtherUser { uid } => {
                format!("belongs to user {uid}, and may not be ended by user {by}")
            }
            Hindrance::Uninterruptible => {
                "waits in the kernel (state D) for a device or file system that does not answer".to_owned()
            }
            Hindrance::Frozen => "is in a frozen control group".to_owned(),
            Hindrance::Traced => "is held by a debugger".to_owned(),
            Hindrance::Unknown => "has not gone after SIGKILL".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hindrance_of_other_users_process() {
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(hindrance_of(std::process::id(), own), Hindrance::Unknown);
        assert_eq!(hindrance_of(std::process::id(), own + 1), Hindrance::OtherUser { uid: own });
        assert_eq!(hindrance_of(std::process::id(), 0), Hindrance::Unknown);
    }
}
