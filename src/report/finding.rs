//! A finding: something that a person or a script should know, with a stable code.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Works, but look at it.
    Warning,
    /// Something does not work.
    Error,
    /// The whole does not work.
    Critical,
}

/// Something found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable and kebab-case: `lock-holder-gone`.
    pub code: Cow<'static, str>,
    /// How much it matters.
    pub severity: Severity,
    /// What it is about: `lock:web`.
    pub object: String,
    /// What was found, in a sentence.
    pub sentence: String,
    /// The command that deals with it.
    pub next: Option<String>,
}
