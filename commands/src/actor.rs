//! Who gives the command, for the audit trail. Holds no secrets: neither arguments nor environment.

use std::io::IsTerminal;

use recovery::queue::Actor;

/// The user behind a command.
#[derive(Debug, Clone)]
pub(crate) struct Invoker {
    uid: u32,
    user: Option<String>,
    terminal: bool,
}

impl Invoker {
    /// The user of this process.
    pub(crate) fn this() -> Invoker {
        let uid = rustix::process::getuid().as_raw();
        Invoker { uid, user: user_name(uid), terminal: std::io::stdin().is_terminal() }
    }

    /// Whether it is root.
    pub(crate) fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// `uid:0 root submit`, with `(no terminal)` for cron and scripts.
    pub(crate) fn actor(&self, word: &str, reason: Option<&str>) -> Actor {
        let user = self.user.as_deref().map_or_else(String::new, |name| format!(" {name}"));
        let unattended = if self.terminal { "" } else { " (no terminal)" };
        Actor { by: format!("uid:{}{user} {word}{unattended}", self.uid), why: reason.map(str::to_owned) }
    }
}

/// The name in `/etc/passwd`. Users of a directory service have only their number, which is what counts.
fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}
