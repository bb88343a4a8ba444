//! Who has acknowledged a finding.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::state::Timestamp;

/// Who has acknowledged a finding.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledged {
    /// When.
    pub at: Timestamp,
    /// Who, and by which command.
    pub by: String,
    /// What was given with `--reason`.
    pub reason: String,
}
