//! Processes that have just begun: until exec a process is still a copy of its parent, and may hide what it will
//! show.

use std::time::Duration;

use super::process::age_of;
use super::process::process_stat;

/// A process that is younger may not have become its own program yet.
const NEW: Duration = Duration::from_millis(250);
const PAUSE: Duration = Duration::from_millis(5);

/// Examines a process, and examines it again if it hides something: once more if it is old, repeatedly while it is
/// new.
pub(crate) fn look_after_exec<T>(pid: u32, mut look: impl FnMut() -> T, hides: impl Fn(&T) -> bool) -> T {
    let mut seen = look();
    while hides(&seen) {
        let is_new = process_stat(pid).is_ok_and(|stat| age_of(stat.identity) < NEW);
        seen = look();
        if !is_new {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a process was examined that hid something until the third time.
    fn looks_at(pid: u32) -> u32 {
        let mut looks = 0;
        let look = || {
            looks += 1;
            looks
        };
        look_after_exec(pid, look, |seen| *seen < 3)
    }

    #[test]
    fn new_process_is_probed_until_exec() {
        assert_eq!(looks_at(1), 2);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let age = || age_of(process_stat(child.id()).unwrap().identity);
        // On a busy machine the process may be old already.
        assert!(looks_at(child.id()) == 3 || age() >= NEW);
        look_after_exec(child.id(), || (), |()| true);
        let age = age();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(age >= NEW, "it was given up while it was new: {age:?}");
    }
}
