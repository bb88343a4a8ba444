//! The variables of a lock's command: those that tell it about its lock, and the marks by which it is found.

use crate::jobs::marks;

/// The variable that holds the fencing number.
pub(super) const LOCK_TOKEN_VARIABLE: &str = "RECOVERYCTL_LOCK_TOKEN";
/// The variable that holds the repository's name.
pub(super) const REPOSITORY_VARIABLE: &str = "RECOVERYCTL_REPOSITORY";
/// The variable that holds the lock's id.
pub const LOCK_ID_VARIABLE: &str = "RECOVERYCTL_LOCK_ID";
/// The variable that names the state directory of the lock: id, incarnation and folder.
pub(super) const LOCK_STATE_VARIABLE: &str = marks::LOCK_STATE;
const MARK_PREFIX: &str = "RECOVERYCTL_LOCK_";

/// The variable that marks everything that is started under a lock, including what is started under locks inside
/// it.
pub fn mark_variable(lock_id: &str) -> String {
    format!("{MARK_PREFIX}{}", lock_id.replace('-', ""))
}

/// The id, without hyphens, of the lock that a `NAME=value` entry marks.
pub(super) fn marked_lock(entry: &[u8]) -> Option<String> {
    let (name, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
    if name == LOCK_ID_VARIABLE {
        return Some(value.replace('-', ""));
    }
    name.strip_prefix(MARK_PREFIX).filter(|_| value == "1").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_lock_from_environment() {
        assert_eq!(marked_lock(b"RECOVERYCTL_LOCK_ID=01-ab").as_deref(), Some("01ab"));
        let mark = format!("{}=1", mark_variable("01-ab"));
        assert_eq!(marked_lock(mark.as_bytes()).as_deref(), Some("01ab"));
        assert_eq!(marked_lock(b"RECOVERYCTL_LOCK_TOKEN=7"), None);
        assert_eq!(marked_lock(b"PATH=/bin"), None);
    }
}
