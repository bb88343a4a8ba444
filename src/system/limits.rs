//! The resource limits (getrlimit(2)) and the file mode mask (umask(2)) of a job's command, independent of
//! those of the daemon.

use std::fmt;
use std::str::FromStr;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// The names, as in limits.conf(5).
const NAMES: [(&str, Resource); 16] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// Soft limits of a job unless configured: the values that programs expect.
const USUAL: [(Resource, u64); 3] =
    [(Resource::Core, 0), (Resource::Nofile, 1024), (Resource::Stack, 8 << 20)];
/// Soft limits that are not raised to the hard limit, because they divide the machine among its users.
const LEFT: [Resource; 3] = [Resource::Nice, Resource::Nproc, Resource::Rtprio];

/// A limit that was configured: `NAME=SOFT` or `NAME=SOFT:HARD`; numbers in the resource's own unit (see
/// setrlimit(2)), or `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    name: &'static str,
    resource: Resource,
    /// `None` is unlimited.
    soft: Option<u64>,
    /// `None` leaves it unchanged; `Some(None)` is unlimited.
    hard: Option<Option<u64>>,
}

/// Why a text is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a limit is NAME=SOFT or NAME=SOFT:HARD, such as nofile=4096 or core=unlimited")]
pub struct BadLimit;

impl FromStr for Limit {
    type Err = BadLimit;

    fn from_str(text: &str) -> Result<Limit, BadLimit> {
        let (name, value) = text.split_once('=').ok_or(BadLimit)?;
        let (name, resource) = NAMES.into_iter().find(|(known, _)| *known == name).ok_or(BadLimit)?;
        let (soft, hard) = value.split_once(':').map_or((value, None), |(soft, hard)| (soft, Some(hard)));
        let (soft, hard) = (number(soft)?, hard.map(number).transpose()?);
        let is_above = hard.is_some_and(|hard| hard.is_some_and(|hard| soft.is_none_or(|soft| soft > hard)));
        if is_above { Err(BadLimit) } else { Ok(Limit { name, resource, soft, hard }) }
    }
}

fn number(text: &str) -> Result<Option<u64>, BadLimit> {
    if text == "unlimited" { Ok(None) } else { text.parse().map(Some).map_err(|_| BadLimit) }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: Option<u64>| value.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
        write!(f, "{}={}", self.name, text(self.soft))?;
        self.hard.map_or(Ok(()), |hard| write!(f, ":{}", text(hard)))
    }
}

/// The limits and mask that a command starts with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Confinement {
    /// The mode bits that new files do not get; `None`: as inherited.
    pub umask: Option<u32>,
    /// Limits that were configured; other resources have the usual limits.
    pub limits: Vec<Limit>,
}

impl Confinement {
    /// Applies limits and mask to this process, which is about to become the command. A limit that may not be set
    /// is set as near to the wanted one as the hard limit allows.
    pub(crate) fn apply(&self) {
        if let Some(mask) = self.umask {
            umask(Mode::from_raw_mode(mask));
        }
        for (_, resource) in NAMES {
            let configured = self.limits.iter().rev().find(|limit| limit.resource == resource);
            let now = getrlimit(resource);
            let wanted = match configured {
                Some(limit) => Rlimit { current: limit.soft, maximum: limit.hard.unwrap_or(now.maximum) },
                None => Rlimit { current: usual(resource, &now), maximum: now.maximum },
            };
            if setrlimit(resource, wanted).is_err() {
                // Only a privileged process may raise the hard limit.
                let current = lower_of(wanted.current, now.maximum);
                let _ = setrlimit(resource, Rlimit { current, maximum: now.maximum });
            }
        }
    }
}

fn usual(resource: Resource, now: &Rlimit) -> Option<u64> {
    let known = USUAL.iter().find(|(of, _)| *of == resource).map(|(_, soft)| *soft);
    match known {
        Some(soft) => lower_of(Some(soft), now.maximum),
        None if LEFT.contains(&resource) => now.current,
        None => now.maximum,
    }
}

/// `None` is unlimited.
fn lower_of(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_round_trip() {
        for text in ["nofile=4096", "core=unlimited", "as=1073741824:2147483648", "nproc=10:unlimited"] {
            assert_eq!(text.parse::<Limit>().unwrap().to_string(), text);
        }
        for text in ["nofile", "files=1", "nofile=many", "nofile=2:1", "nofile=unlimited:5", "=1", "nofile="]
        {
            assert_eq!(text.parse::<Limit>(), Err(BadLimit), "{text}");
        }
    }

    #[test]
    fn usual_soft_limit_at_most_hard() {
        let low = Rlimit { current: Some(3), maximum: Some(5) };
        assert_eq!(usual(Resource::Nofile, &low), Some(5));
        assert_eq!(usual(Resource::Fsize, &low), Some(5));
        assert_eq!(usual(Resource::Nproc, &low), Some(3));
        assert_eq!(usual(Resource::Stack, &Rlimit { current: None, maximum: None }), Some(8 << 20));
    }
}
