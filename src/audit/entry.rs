//! One act, as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::Actor;
use crate::findings::Object;
use crate::state::Timestamp;

/// How an act ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AuditOutcome")]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It failed half way: whether it took effect is for its own files to say.
    Failed,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
        }
    }
}

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    /// Who, and by which command or client.
    pub by: String,
    /// What was given with `--reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What was done: `release`, `skip`, `lock`.
    pub action: String,
    /// To what: `lock:web`, `phase:orphans`.
    pub object: Object,
    /// How it ended.
    pub result: Outcome,
    /// More about it; holds no secrets.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What proved that it was right, where it rested on a verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// Its record in the queue's log, from which it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_seq: Option<u64>,
}

impl Entry {
    /// An act that an actor has done.
    pub fn done(
        at: Timestamp,
        actor: &Actor,
        action: &str,
        object: impl Into<Object>,
        detail: String,
    ) -> Entry {
        let Actor { by, why } = actor.clone();
        let action = action.to_owned();
        Entry {
            at,
            by,
            why,
            action,
            object: object.into(),
            result: Outcome::Done,
            detail,
            evidence: Vec::new(),
            queue_seq: None,
        }
    }

    /// The same act, with the evidence that justified it.
    pub(crate) fn with_evidence(self, evidence: Vec<String>) -> Entry {
        Entry { evidence, ..self }
    }

    /// The same act, marked as failed half way.
    pub(crate) fn failed(self) -> Entry {
        Entry { result: Outcome::Failed, ..self }
    }
}
