//! Ids of jobs: this program gives UUIDs (version 7); users may give any safe name.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::names::{BadName, encode};

/// The id of a job. A canonical UUID is kept in 16 bytes: a queue may hold a million.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(Form);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Uuid(Uuid),
    Name(Box<str>),
}

/// A replay hashes a million ids: only the sixteen bytes are hashed, not their kind or number.
impl Hash for Form {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Form::Uuid(uuid) => state.write_u128(uuid.as_u128()),
            Form::Name(name) => name.hash(state),
        }
    }
}

impl JobId {
    /// A new id, later than all before.
    pub fn new() -> JobId {
        JobId(Form::Uuid(Uuid::now_v7()))
    }

    /// Whether it has the form of the ids that this program gives.
    pub(crate) fn is_uuid(&self) -> bool {
        matches!(self.0, Form::Uuid(_))
    }

    fn of(text: &str) -> JobId {
        match Uuid::try_parse(text) {
            // Only the canonical form comes back byte for byte.
            Ok(uuid) if text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase()) => {
                JobId(Form::Uuid(uuid))
            }
            _ => JobId(Form::Name(text.into())),
        }
    }
}

impl Default for JobId {
    fn default() -> JobId {
        JobId::new()
    }
}

impl FromStr for JobId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<JobId, BadName> {
        let id = JobId::of(text);
        if !id.is_uuid() {
            encode(text)?;
        }
        Ok(id)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Uuid(uuid) => uuid.as_hyphenated().fmt(f),
            Form::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Form::Uuid(uuid) => s.serialize_str(uuid.as_hyphenated().encode_lower(&mut [0; 36])),
            Form::Name(name) => s.serialize_str(name),
        }
    }
}

/// As it is written, in descriptions of answers.
impl JsonSchema for JobId {
    fn schema_name() -> Cow<'static, str> {
        "JobId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "description": "The name that was given, or a UUID",
        })
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<JobId, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = JobId;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the id of a job")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<JobId, E> {
                text.parse().map_err(E::custom)
            }
        }
        d.deserialize_str(Text)
    }
}
