//! The base of a job's environment: the machine's data about the user, independent of how the daemon was
//! started.

use std::ffi::OsString;

use nix::unistd::{Uid, User};

/// The folders of programs that every machine has.
pub const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Files in which a machine sets its language; the first one that exists counts.
const LOCALE_FILES: [&str; 2] = ["/etc/locale.conf", "/etc/default/locale"];
/// A language that every machine has, with UTF-8.
const USUAL_LANG: &str = "C.UTF-8";
const USUAL_SHELL: &str = "/bin/sh";

/// `PATH`, `LANG`, `HOME`, `USER`, `LOGNAME` and `SHELL` of the user that this process runs as.
pub fn base_environment() -> Vec<(OsString, OsString)> {
    base_environment_of(Uid::effective().as_raw())
}

/// The same of any user.
pub(crate) fn base_environment_of(uid: u32) -> Vec<(OsString, OsString)> {
    let uid = Uid::from_raw(uid);
    let user = User::from_uid(uid).ok().flatten();
    let (name, home, shell) = match user {
        Some(user) => (user.name, user.dir, user.shell),
        // A container may run as a user without an entry.
        None => (uid.to_string(), "/".into(), USUAL_SHELL.into()),
    };
    let shell = if shell.as_os_str().is_empty() { USUAL_SHELL.into() } else { shell };
    let variables: [(&str, OsString); 6] = [
        ("PATH", USUAL_PATH.into()),
        ("LANG", language().into()),
        ("HOME", home.into()),
        ("USER", name.clone().into()),
        ("LOGNAME", name.into()),
        ("SHELL", shell.into()),
    ];
    variables.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

fn language() -> String {
    let files = LOCALE_FILES.iter().filter_map(|path| crate::durable::plain::read_text(path).ok());
    let named = files.filter_map(|text| language_in(&text)).next();
    named.unwrap_or_else(|| USUAL_LANG.to_owned())
}

/// The value of `LANG=` in a file of shell assignments.
fn language_in(text: &str) -> Option<String> {
    let value = text.lines().rev().find_map(|line| line.trim().strip_prefix("LANG="))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_from_shell_assignments() {
        assert_eq!(language_in("LANG=de_DE.UTF-8\n"), Some("de_DE.UTF-8".to_owned()));
        assert_eq!(language_in("# LANG=no\n LANG=\"C\"\nLC_ALL=x\n"), Some("C".to_owned()));
        assert_eq!(language_in("LANG=\nLC_ALL=x\n"), None);
    }

    #[test]
    fn base_environment_of_user() {
        let base = base_environment();
        let value = |name: &str| base.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        assert_eq!(value("PATH"), Some(USUAL_PATH.into()));
        assert!(["HOME", "USER", "LOGNAME", "SHELL", "LANG"].iter().all(|name| value(name).is_some()));
    }
}
