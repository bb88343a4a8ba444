//! Which of the submitter's variables are recorded with a job.
//!
//! A job that works in the shell should work from the queue too, as with at(1) and the batch systems: the
//! exported variables go with the job and are the same in every attempt, however the daemon was started. These
//! variables are left out: those of the session that ends with the terminal, of the user that the daemon runs as
//! (except `HOME`, where tools keep their settings), of a service manager, of the one invocation of a tool that
//! ran `submit` (a hook of git, a rule of make), and of this program. Variables that look like secrets are left
//! out too, because records are kept for long; they are recorded only when they are named.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::callback_url::holds_credential;
use crate::state::config::Export;

/// The most bytes that all values together may take: records are kept for long.
const MOST_BYTES: usize = 64 << 10;

/// Variables of the terminal, the login and the submitter's service manager, and the shell's own.
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
    // The user that the daemon runs as has its own values.
    "USER",
    "LOGNAME",
    "SHELL",
];
const OF_THE_SESSION_BEGIN: &[&str] =
    &["RECOVERYCTL_", "LISTEN_", "XDG_", "SSH_", "DBUS_", "SUDO_", "TMUX", "BASH_FUNC_", "LD_", "VTE_"];

/// Variables of the call in which `submit` was started: of one repository (`git rev-parse --local-env-vars` lists
/// them, and git clears them itself before it enters another one; not its [`GIT_SETTINGS`]), and of one make with
/// its descriptors.
const OF_A_CALL: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
    "GIT_QUARANTINE_PATH",
    "MAKEFLAGS",
    "MFLAGS",
    "MAKELEVEL",
    "CARGO_MAKEFLAGS",
];
/// Settings of git for every repository, which people export. One of them counts the others, so either all are
/// recorded or none.
const GIT_SETTINGS: &[&str] = &["GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"];

/// Words in the name of a variable that holds a secret.
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
/// Suffixes of such names.
const SECRET_ENDS: &[&str] = &["_PAT", "_KEY", "_AUTH", "_PWD", "_PASS", "_DSN"];

/// The variables that go with a job, and those left out that the job might rely on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Exported {
    /// The recorded variables.
    pub taken: BTreeMap<String, String>,
    /// Named variables that are not set, are not UTF-8, or are this program's own.
    pub missing: Vec<String>,
    /// Variables that are left out because there is no room for them.
    pub too_large: Vec<String>,
}

/// Selects from `variables`. Left out are variables that no record can hold because they are not UTF-8, and
/// those that would make the record too large: named variables get room first, then the others in order of
/// name.
pub(crate) fn exported(
    export: &Export,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Exported {
    let text = |text: OsString| text.into_string().ok();
    let variables: Vec<(String, String)> =
        variables.into_iter().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect();
    let is_secret_for_git =
        variables.iter().any(|(name, value)| is_git_setting(name) && has_secret(name, value));
    let (mut named, others): (BTreeMap<_, _>, BTreeMap<_, _>) = variables
        .into_iter()
        .filter(|(name, value)| goes_along(export, name, value))
        .filter(|(name, _)| export.names(name) || !(is_secret_for_git && is_git_setting(name)))
        .partition(|(name, _)| export.names(name));
    let missing = export.named().iter().filter(|name| !named.contains_key(*name)).cloned().collect();
    let (mut bytes, mut too_large) = (0, Vec::new());
    let mut has_room = |name: &String, value: &mut String| {
        let fits = bytes + name.len() + value.len() <= MOST_BYTES;
        if fits {
            bytes += name.len() + value.len();
        } else {
            too_large.push(name.clone());
        }
        fits
    };
    let mut taken = others;
    named.retain(&mut has_room);
    taken.retain(&mut has_room);
    taken.append(&mut named);
    Exported { taken, missing, too_large }
}

fn goes_along(export: &Export, name: &str, value: &str) -> bool {
    if name.is_empty() || name.starts_with("RECOVERYCTL_") {
        return false;
    }
    let is_usual = || !is_of_the_session(name) && !is_of_a_call(name) && !may_be_secret(name, value);
    export.names(name) || export.takes_all() && is_usual()
}

fn is_of_the_session(name: &str) -> bool {
    OF_THE_SESSION.contains(&name) || OF_THE_SESSION_BEGIN.iter().any(|begin| name.starts_with(begin))
}

fn is_of_a_call(name: &str) -> bool {
    OF_A_CALL.contains(&name)
}

fn is_git_setting(name: &str) -> bool {
    GIT_SETTINGS.iter().any(|begin| name.starts_with(begin))
}

/// `http.extraHeader` holds credentials.
fn has_secret(name: &str, value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let words = ["authorization", "extraheader", "password", "secret", "token"];
    may_be_secret(name, value) || words.iter().any(|word| lower.contains(word))
}

/// An address with a password or a token in it is a secret too, also as one of several addresses; the address of
/// a proxy need not have a scheme.
fn may_be_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET.iter().any(|part| name.contains(part))
        || SECRET_ENDS.iter().any(|end| name.ends_with(end))
        || (name.ends_with("_PROXY") && holds_credential(value))
        || value.match_indices("://").any(|(at, _)| holds_credential(first_word(&value[at..])))
}

/// The text up to the place where another address may begin.
fn first_word(text: &str) -> &str {
    let ends = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|' | '"' | '\'');
    text.split(ends).next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(export: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        exported(&export.parse().unwrap(), variables).taken.into_keys().collect()
    }

    #[test]
    fn export_skips_session_user_and_secrets() {
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
    fn export_skips_unrecordable() {
        use std::os::unix::ffi::OsStringExt;
        let odd = [(OsString::from("A"), OsString::from_vec(vec![0xff])), ("B".into(), "b".into())];
        assert_eq!(exported(&Export::All, odd).taken.into_keys().collect::<Vec<_>>(), ["B"]);
        let large = "x".repeat(MOST_BYTES - 1);
        assert_eq!(taken("all", &[("A", &large), ("B", "b"), ("C", "")]), ["A"]);
    }

    #[test]
    fn export_skips_git_and_make_unless_named() {
        let variables = [
            ("GIT_DIR", "."),
            ("GIT_QUARANTINE_PATH", "/srv/web.git/objects/tmp_objdir-1"),
            ("GIT_EDITOR", "vi"),
            ("MAKEFLAGS", " -j --jobserver-auth=3,4"),
            ("MAKELEVEL", "1"),
        ];
        assert_eq!(taken("all", &variables), ["GIT_EDITOR"]);
        assert_eq!(taken("all,MAKELEVEL", &variables), ["GIT_EDITOR", "MAKELEVEL"]);
    }

    #[test]
    fn export_git_config_all_or_none() {
        let of = |key: &str, value: &str| {
            taken(
                "all",
                &[
                    ("GIT_CONFIG_COUNT", "2"),
                    ("GIT_CONFIG_KEY_0", "init.defaultBranch"),
                    ("GIT_CONFIG_VALUE_0", "main"),
                    ("GIT_CONFIG_KEY_1", key),
                    ("GIT_CONFIG_VALUE_1", value),
                ],
            )
            .len()
        };
        assert_eq!(of("protocol.file.allow", "always"), 5);
        assert_eq!(of("http.extraHeader", "AUTHORIZATION: basic eDp5"), 0);
        assert_eq!(of("url.https://x:hunter2@host/.insteadOf", "https://host/"), 0);
    }

    #[test]
    fn export_finds_password_in_address() {
        let secrets = [
            ("HTTP_PROXY", "user:pw@proxy:3128"),
            ("https_proxy", "http://user:pw@proxy:3128"),
            ("MIRRORS", "https://one.example/x https://user:pw@two.example/x"),
            ("BROKERS", "amqp://one:5672,amqp://user:pw@two:5672"),
            ("HOOK", "see https://one.example/x?token=abc"),
        ];
        assert_eq!(taken("all", &secrets), [""; 0]);
        let plain = [
            ("HTTP_PROXY", "proxy:3128"),
            ("MAIL_FROM", "builder@example.org"),
            ("MIRRORS", "https://one.example/x https://two.example/x"),
        ];
        assert_eq!(taken("all", &plain), ["HTTP_PROXY", "MAIL_FROM", "MIRRORS"]);
    }

    #[test]
    fn export_reports_missing_named_variable() {
        let large = "x".repeat(MOST_BYTES - 8);
        let variables = [("A", large.as_str()), ("Z", "12345"), ("API_TOKEN", "1")];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let export: Export = "all, Z, API_TOKEN, NOT_SET".parse().unwrap();
        let done = exported(&export, variables);
        assert_eq!(
            done.taken.keys().collect::<Vec<_>>(),
            ["API_TOKEN", "Z"],
            "what is named has its room first"
        );
        assert_eq!((done.missing, done.too_large), (vec!["NOT_SET".to_owned()], vec!["A".to_owned()]));
        assert_eq!(export.to_string(), "all,Z,API_TOKEN,NOT_SET");
        assert!("none,A".parse::<Export>().is_err() && "A,all".parse::<Export>().unwrap().takes_all());
    }
}
