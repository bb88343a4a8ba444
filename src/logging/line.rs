//! One line of a log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::state::Timestamp;

/// The version of the members of a line and of their meaning.
pub const VERSION: u32 = 1;

/// How much a line matters.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Level {
    /// Something could not be done that was to be done, and nobody tries it again.
    Error,
    /// A crash, a refusal, a retry, an error that is worked around.
    Warn,
    /// A start, an end, a grant, a decision.
    Info,
    /// What explains the others.
    Debug,
    /// Each step.
    Trace,
}

impl Level {
    /// The level's word.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// One event, as it is kept and as `--log-format json` writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// [`VERSION`].
    pub v: u32,
    /// When it was said.
    pub at: Timestamp,
    /// How much it matters.
    pub level: Level,
    /// The kind of event, of [`super::events`]; absent on lines of no kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Who says it: `daemon`, `work`, `run`, `supervisor`, `keeper`, or the command.
    pub process: String,
    /// Its process.
    pub pid: u32,
    /// The module of the source that says it: what filters name.
    pub target: String,
    /// In words.
    pub message: String,
    /// What it is about: those of the event, and of the spans around it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

impl LogLine {
    /// A field's text; `None` when there is none, or no text.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }
}
