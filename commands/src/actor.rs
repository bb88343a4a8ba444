//! Who gives the command, for the audit trail: user, command line and terminal, in one line of text.

use std::ffi::OsString;

use recovery::queue::Actor;

use crate::masked::masked_line;

/// How many generations of parents are searched for a cron daemon.
const GENERATIONS: usize = 16;

/// The user behind a command.
#[derive(Debug, Clone)]
pub(crate) struct Invoker {
    /// `None` for a client that showed a token: its user is unknown.
    uid: Option<u32>,
    user: Option<String>,
    /// `pts/3`, `cron`, `no terminal`; for a client of the daemon `http 127.0.0.1:40112` or `socket`.
    terminal: String,
    /// The arguments, with secrets masked.
    line: String,
}

impl Invoker {
    /// The user of this process, and what it was asked for.
    pub(crate) fn this() -> Invoker {
        let uid = rustix::process::getuid().as_raw();
        let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        Invoker { uid: Some(uid), user: user_name(uid), terminal: terminal(), line: masked_line(&arguments) }
    }

    /// Returns the client of a daemon: the user behind the socket, or a token's role, and its request.
    pub(crate) fn client(uid: Option<u32>, role: &str, from: &str, arguments: &[OsString]) -> Invoker {
        let user = uid.and_then(user_name).or_else(|| uid.is_none().then(|| role.to_owned()));
        Invoker { uid, user, terminal: from.to_owned(), line: masked_line(arguments) }
    }

    /// The command line's words, for a daemon.
    pub(crate) fn words(&self) -> Vec<String> {
        self.line.split(' ').map(str::to_owned).collect()
    }

    /// Whether it is root.
    pub(crate) fn is_root(&self) -> bool {
        self.uid == Some(0)
    }

    /// `uid:0 root submit --repo web (pts/3)`; `-` for a user without a name here. Of a client with a token:
    /// `token:admin release web (http 127.0.0.1:40112)`.
    pub(crate) fn actor(&self, word: &str, reason: Option<&str>) -> Actor {
        let user = self.user.as_deref().unwrap_or("-");
        // The word first, whichever options stood before it.
        let mut words: Vec<&str> = self.line.split(' ').filter(|w| !w.is_empty()).collect();
        if let Some(at) = words.iter().position(|w| *w == word) {
            words.remove(at);
        }
        words.insert(0, word);
        let who = match self.uid {
            Some(uid) => format!("uid:{uid} {user}"),
            None => format!("token:{user}"),
        };
        let by = format!("{who} {} ({})", words.join(" "), self.terminal);
        Actor { by, why: reason.map(str::to_owned) }
    }
}

/// The terminal of one of the standard streams, else whether a cron daemon started this.
fn terminal() -> String {
    let of_stream = |stream: u32| {
        let target = std::fs::read_link(format!("/proc/self/fd/{stream}")).ok()?;
        let name = target.strip_prefix("/dev").ok()?.to_str()?.to_owned();
        (name.starts_with("pts/") || name.starts_with("tty")).then_some(name)
    };
    let cron = || is_below_cron().then(|| "cron".to_owned());
    (0..3).find_map(of_stream).or_else(cron).unwrap_or_else(|| "no terminal".to_owned())
}

fn is_below_cron() -> bool {
    let mut pid = std::process::id();
    for _ in 0..GENERATIONS {
        let Ok(stat) = recovery::durable::plain::read_text(format!("/proc/{pid}/stat")) else { return false };
        // The name is in brackets and may hold some itself.
        let Some((head, tail)) = stat.rsplit_once(')') else { return false };
        let name = head.split_once('(').map_or("", |(_, name)| name).to_ascii_lowercase();
        if matches!(name.as_str(), "cron" | "crond" | "anacron" | "fcron" | "atd") {
            return true;
        }
        match tail.split_ascii_whitespace().nth(1).and_then(|parent| parent.parse().ok()) {
            Some(parent) if parent > 1 => pid = parent,
            _ => return false,
        }
    }
    false
}

/// The name in `/etc/passwd`. Users of a directory service have only their number, which is what counts.
fn user_name(uid: u32) -> Option<String> {
    let passwd = recovery::durable::plain::read_text("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}
