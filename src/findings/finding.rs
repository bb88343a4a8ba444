//! A finding: something that an operator should know, with the command that deals with it.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::acknowledged::Acknowledged;
use super::catalogue::{self, Entry, is_loss};
use super::id::id_of;
use super::object::Object;
use super::severity::Severity;
use crate::state::Timestamp;

/// One finding, as it is shown and stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Names it, for `findings ack`.
    #[serde(default)]
    pub id: String,
    /// A code of the catalogue.
    pub code: Cow<'static, str>,
    /// The catalogue's, unless this case is worse or better.
    pub severity: Severity,
    /// What it is about: `job:ID`, `lock:REPOSITORY`, `queue`, `file:PATH`.
    pub object: Object,
    /// What is the matter, in one sentence.
    pub sentence: String,
    /// The command that deals with it.
    pub next: Option<String>,
    /// Since when it is known; null for what is only seen now.
    #[serde(default)]
    pub first_seen: Option<Timestamp>,
    /// When it was seen last; null for what is seen now.
    #[serde(default)]
    pub last_seen: Option<Timestamp>,
    /// Who has acknowledged it. What is lost counts until then.
    #[serde(default)]
    pub acknowledged: Option<Acknowledged>,
    /// Until when it does not count.
    #[serde(default)]
    pub muted_until: Option<Timestamp>,
}

impl Finding {
    /// A finding of this kind; severity and next command are the catalogue's.
    ///
    /// In the next command `{object}` stands for the object and `{name}` for what follows its colon, both quoted
    /// for a shell; `{id}` stands for the finding's id.
    pub fn new(entry: &'static Entry, object: impl Into<Object>, sentence: impl Into<String>) -> Finding {
        let (object, sentence) = (object.into(), sentence.into());
        let id = id_of(entry.code, &object.to_string(), is_loss(entry.code).then_some(&*sentence));
        Finding {
            code: Cow::Borrowed(entry.code),
            severity: entry.severity,
            next: entry.next.map(|template| fill(template, &object.to_string(), &id)),
            id,
            object,
            sentence,
            first_seen: None,
            last_seen: None,
            acknowledged: None,
            muted_until: None,
        }
    }

    /// Whether it reports a loss: its kind does, and its severity is not lower than usual.
    pub(crate) fn tells_of_loss(&self) -> bool {
        is_loss(&self.code)
            && catalogue::find(&self.code).is_some_and(|entry| self.severity >= entry.severity)
    }

    /// The same finding with another severity.
    pub fn with_severity(mut self, severity: Severity) -> Finding {
        self.severity = severity;
        self
    }

    /// The same finding with another next command.
    pub(crate) fn with_next(mut self, command: impl Into<String>) -> Finding {
        self.next = Some(command.into());
        self
    }
}

/// A word, quoted for a shell.
pub fn shell_word(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| "…".to_owned(), Cow::into_owned)
}

fn fill(template: &str, object: &str, id: &str) -> String {
    let name = object.split_once(':').map_or(object, |(_, name)| name);
    // Replace piece by piece, so that a name that looks like a placeholder stays a name.
    let mut command = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        command.push_str(&rest[..at]);
        let end = rest[at..].find('}').map_or(rest.len(), |n| at + n + 1);
        match &rest[at..end] {
            "{object}" => command.push_str(&shell_word(object)),
            "{name}" => command.push_str(&shell_word(name)),
            "{id}" => command.push_str(id),
            other => command.push_str(other),
        }
        rest = &rest[end..];
    }
    command + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::catalogue;

    #[test]
    fn next_command_is_filled_and_quoted() {
        assert_eq!(fill("x {object} {name} {id}", "lock:web", "7f"), "x lock:web web 7f");
        assert_eq!(fill("x {name}", "queue", ""), "x queue");
        assert_eq!(fill("x {name} y", "lock:my repo;rm", ""), "x 'my repo;rm' y");
        assert_eq!(fill("{name} {other}", "lock:{name}{object}", ""), "'{name}{object}' {other}");
        assert_eq!(fill("{name", "lock:web", ""), "{name");
    }

    #[test]
    fn finding_round_trip() {
        let finding = Finding::new(&catalogue::LOCK_UNAVAILABLE, "lock:web", "Its metadata is damaged.")
            .with_severity(Severity::Critical);
        let json = serde_json::to_string(&finding).unwrap();
        assert!(json.contains(r#""code":"lock-unavailable","severity":"critical","object":"lock:web","#));
        assert_eq!(finding.id.len(), 8, "{json}");
        assert_eq!(serde_json::from_str::<Finding>(&json).unwrap(), finding);
    }
}
