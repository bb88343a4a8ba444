//! What ended an attempt from outside: a cancel or a signal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::state::Timestamp;

/// The cancel or signal that ended an attempt from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndedBy {
    /// When it asked.
    pub at: Timestamp,
    /// The actor of a recorded cancel; or the sending user, with the process if it was seen.
    pub by: String,
    /// The signal that came, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The process that sent the signal; not known when it is in another PID namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The user that process belonged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
}
