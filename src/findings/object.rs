//! What a finding, an entry of the audit trail or an act of repair is about.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::state::JobId;

/// Defines the kinds of objects, each with its word: kinds of which there are many objects, written `word:NAME`,
/// and words for which there is one object, or which stand for all objects of a kind.
macro_rules! objects {
    (named { $($named:ident $kind:literal,)* } whole { $($whole:ident $word:literal,)* }) => {
        /// An object; written `job:ID`, `lock:REPOSITORY`, `queue`. What has no such form stays as it was written.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // Their words say it.
        pub enum Object {
            Job(JobId),
            $($named(String),)*
            $($whole,)*
            Other(String),
        }

        impl Object {
            /// Its kind: `job`, `queue`.
            pub fn kind(&self) -> &str {
                match self {
                    Object::Job(_) => "job",
                    $(Object::$named(_) => $kind,)*
                    $(Object::$whole => $word,)*
                    Object::Other(text) => text.split_once(':').map_or(text, |(kind, _)| kind),
                }
            }

            /// What follows the colon, or the whole text.
            pub fn name(&self) -> Cow<'_, str> {
                match self {
                    Object::Job(id) => Cow::Owned(id.to_string()),
                    $(Object::$named(name) => Cow::Borrowed(name),)*
                    Object::Other(text) => Cow::Borrowed(text.split_once(':').map_or(text, |(_, name)| name)),
                    _ => Cow::Borrowed(self.kind()),
                }
            }
        }

        impl From<&str> for Object {
            fn from(text: &str) -> Object {
                match text.split_once(':') {
                    Some(("job", id)) => id.parse().map_or_else(|_| Object::Other(text.to_owned()), Object::Job),
                    $(Some(($kind, name)) => Object::$named(name.to_owned()),)*
                    $(None if text == $word => Object::$whole,)*
                    _ => Object::Other(text.to_owned()),
                }
            }
        }

        impl fmt::Display for Object {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Object::Job(id) => write!(f, "job:{id}"),
                    $(Object::$named(name) => write!(f, "{}:{name}", $kind),)*
                    $(Object::$whole => f.write_str($word),)*
                    Object::Other(text) => f.write_str(text),
                }
            }
        }
    };
}

objects! {
    named {
        Archive "archive",
        Cleanup "cleanup",
        Endpoint "endpoint",
        File "file",
        Lock "lock",
        Muted "finding",
        Orphan "orphan",
        Phase "phase",
        Record "record",
        Startup "startup",
        Webhook "webhook",
        WebhookRecord "webhook-record",
    }
    whole {
        Daemon "daemon",
        Disk "disk",
        Docker "docker",
        Jobs "jobs",
        Losses "losses",
        Orphans "orphans",
        Quarantine "quarantine",
        Queue "queue",
        Recovery "recovery",
        Starts "starts",
        State "state",
        Startups "startup",
        Trash "trash",
        Webhooks "webhooks",
    }
}

impl Object {
    /// Whether it is the wanted object, or of the wanted kind: `lock:web` is about `lock:web` and about `lock`.
    pub(crate) fn is_about(&self, wanted: &str) -> bool {
        self.kind() == wanted || *self == *wanted
    }

    /// The job of this id.
    pub(crate) fn job(id: &JobId) -> Object {
        Object::Job(id.clone())
    }

    /// The file or folder of this path.
    pub(crate) fn file(path: &Path) -> Object {
        Object::File(path.display().to_string())
    }

    /// The lock of this repository.
    pub fn lock(repository: &str) -> Object {
        Object::Lock(repository.to_owned())
    }

    /// The phase of this name.
    pub(crate) fn phase(name: &str) -> Object {
        Object::Phase(name.to_owned())
    }
}

impl From<String> for Object {
    fn from(text: String) -> Object {
        Object::from(text.as_str())
    }
}

impl FromStr for Object {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Object, Infallible> {
        Ok(Object::from(text))
    }
}

impl PartialEq<str> for Object {
    fn eq(&self, other: &str) -> bool {
        let text = self.to_string();
        text == other
    }
}

impl PartialEq<&str> for Object {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

/// Objects are ordered by their text, so that lists are sorted as people read them.
impl Ord for Object {
    fn cmp(&self, other: &Object) -> Ordering {
        self.to_string().cmp(&other.to_string())
    }
}

impl PartialOrd for Object {
    fn partial_cmp(&self, other: &Object) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Object, D::Error> {
        Ok(Object::from(String::deserialize(d)?))
    }
}

/// A text, in descriptions of answers.
impl JsonSchema for Object {
    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_comes_back_as_it_was_written() {
        for text in
            ["job:payroll", "lock:a:b", "queue", "startup", "startup:7", "job:", "jobs", "container:x", ""]
        {
            let object = Object::from(text);
            assert_eq!(object.to_string(), text);
            assert_eq!(serde_json::to_string(&object).unwrap(), format!("{text:?}"));
            assert_eq!(object, text);
        }
        assert_eq!(Object::from("lock:a:b"), Object::Lock("a:b".to_owned()));
        assert_eq!(Object::from("job:"), Object::Other("job:".to_owned()));
    }

    #[test]
    fn object_tells_kind_and_name() {
        let told = |text: &str| {
            let object = Object::from(text);
            (object.kind().to_owned(), object.name().into_owned())
        };
        assert_eq!(told("lock:web"), ("lock".to_owned(), "web".to_owned()));
        assert_eq!(told("queue"), ("queue".to_owned(), "queue".to_owned()));
        assert!(Object::lock("web").is_about("lock:web") && Object::lock("web").is_about("lock"));
        assert!(!Object::lock("web").is_about("lock:we") && !Object::lock("web").is_about("job"));
        assert_eq!(told("container:x"), ("container".to_owned(), "x".to_owned()));
    }
}
