//! Which variables of the one who submits a job are recorded with it.
//!
//! A job that works in the shell is to work from the queue too, as with at(1) and the batch systems: what was exported
//! in the shell goes with the job. It is part of the job from then on, the same in every attempt, however the daemon
//! was started. Left out is what belongs to the session that ends with the terminal, to the user that the daemon runs as
//! (but for `HOME`, where tools keep what they were set up with), to a service manager, and to this program; and what looks like a secret, for records are kept for long: a secret is
//! recorded only when it is named.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::callback_url::masked_url;
use crate::state::config::Export;

/// All values together take no more than this, in bytes: records are kept for long.
const MOST_BYTES: usize = 64 << 10;

/// Of the terminal, the login, and the service manager that the submitter runs under; and what the shell keeps for
/// itself.
const OF_THE_SESSION: &[&str] = &[
    "_",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "PS1",
    "PS2",
    "PROMPT_COMMAND",
    "TERM",
    "TERMINFO",
    "TERMCAP",
    "COLORTERM",
    "COLUMNS",
    "LINES",
    "LS_COLORS",
    "LESSOPEN",
    "LESSCLOSE",
    "WINDOWID",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "STY",
    "MAIL",
    "MOTD_SHOWN",
    "TMPDIR",
    "GPG_TTY",
    "GPG_AGENT_INFO",
    "KRB5CCNAME",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "MANAGERPID",
    "SYSTEMD_EXEC_PID",
    "MAINPID",
    "FDSTORE",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "CREDENTIALS_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "STATE_DIRECTORY",
    "CACHE_DIRECTORY",
    "LOGS_DIRECTORY",
    "CONFIGURATION_DIRECTORY",
    // The user that the daemon runs as has its own.
    "USER",
    "LOGNAME",
    "SHELL",
];
const OF_THE_SESSION_BEGIN: &[&str] =
    &["RECOVERYCTL_", "LISTEN_", "XDG_", "SSH_", "DBUS_", "SUDO_", "TMUX", "BASH_FUNC_", "LD_", "VTE_"];

/// In the name of a variable that holds a secret.
const SECRET: &[&str] = &[
    "TOKEN",
    "SECRET",
    "PASSW",
    "PASSPHRASE",
    "PASSCODE",
    "CREDENTIAL",
    "APIKEY",
    "API_KEY",
    "ACCESS_KEY",
    "PRIVATE_KEY",
    "SIGNING_KEY",
    "ENCRYPTION_KEY",
    "AUTHORIZATION",
    "COOKIE",
    "WEBHOOK",
];
/// How such names end.
const SECRET_ENDS: &[&str] = &["_PAT", "_KEY", "_AUTH", "_PWD", "_PASS", "_DSN"];

/// What of `variables` goes with a job. Variables that no record can hold, which are those that are no UTF-8, do not;
/// nor those that would make it too large, beginning with the last by name.
pub fn exported(
    export: &Export,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> BTreeMap<String, String> {
    let text = |text: OsString| text.into_string().ok();
    let variables = variables.into_iter().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
    let mut taken: BTreeMap<String, String> =
        variables.filter(|(name, value)| goes_along(export, name, value)).collect();
    let mut bytes = 0;
    taken.retain(|name, value| {
        bytes += name.len() + value.len();
        bytes <= MOST_BYTES
    });
    taken
}

fn goes_along(export: &Export, name: &str, value: &str) -> bool {
    if name.is_empty() || name.starts_with("RECOVERYCTL_") {
        return false;
    }
    match export {
        Export::None => false,
        Export::Names(names) => names.iter().any(|named| named == name),
        Export::All => !is_of_the_session(name) && !may_be_secret(name, value),
    }
}

fn is_of_the_session(name: &str) -> bool {
    OF_THE_SESSION.contains(&name) || OF_THE_SESSION_BEGIN.iter().any(|begin| name.starts_with(begin))
}

/// An address with a password or a token in it is one too.
fn may_be_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET.iter().any(|part| name.contains(part))
        || SECRET_ENDS.iter().any(|end| name.ends_with(end))
        || (value.contains("://") && masked_url(value) != value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(export: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        exported(&export.parse().unwrap(), variables).into_keys().collect()
    }

    #[test]
    fn what_was_exported_goes_along_and_session_user_and_secrets_stay() {
        let variables = [
            ("PATH", "/opt/bin"),
            ("VIRTUAL_ENV", "/srv/venv"),
            ("GIT_AUTHOR_NAME", "a"),
            ("LEVEL", ""),
            ("USER", "root"),
            ("TERM", "xterm"),
            ("SSH_AUTH_SOCK", "/tmp/x"),
            ("NOTIFY_SOCKET", "/run/x"),
            ("RECOVERYCTL_STATE_DIR", "/x"),
            ("GITHUB_TOKEN", "x"),
            ("aws_secret_access_key", "x"),
            ("DEPLOY_KEY", "x"),
            ("DATABASE_URL", "postgres://user:hunter2@db/x"),
            ("MIRROR", "https://mirror.example/x"),
        ];
        let usual = ["GIT_AUTHOR_NAME", "LEVEL", "MIRROR", "PATH", "VIRTUAL_ENV"];
        assert_eq!(taken("all", &variables), usual);
        assert_eq!(taken("none", &variables), [""; 0]);
        assert_eq!(taken("GITHUB_TOKEN, LEVEL,RECOVERYCTL_STATE_DIR", &variables), ["GITHUB_TOKEN", "LEVEL"]);
    }

    #[test]
    fn what_no_record_can_hold_stays() {
        use std::os::unix::ffi::OsStringExt;
        let odd = [(OsString::from("A"), OsString::from_vec(vec![0xff])), ("B".into(), "b".into())];
        assert_eq!(exported(&Export::All, odd).into_keys().collect::<Vec<_>>(), ["B"]);
        let large = "x".repeat(MOST_BYTES - 1);
        assert_eq!(taken("all", &[("A", &large), ("B", "b"), ("C", "")]), ["A"]);
    }
}
