//! The actor of a record.

use serde::{Deserialize, Serialize};

/// Who acted and why; the record has the time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Actor {
    /// `uid:0 ana` and the command or client: `uid:0 root submit`, `daemon`, `supervisor`.
    pub by: String,
    /// What was given with `--reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
