//! Reports what a state directory is: an original, a copy, or restored from a backup.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::findings::Finding;
use crate::startup::origin::findings;
use crate::state::{DirectoryOrigin, StateDir, Timestamp};

/// What a state directory is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct StateReport {
    pub id: Uuid,
    /// 1 at first; a later one is the second, since 1970, in which it began.
    pub incarnation: u64,
    pub path: PathBuf,
    pub layout: u32,
    pub created_at: Timestamp,
    /// Whether it is a copy of another one that is still only read.
    pub is_copy: bool,
    /// The state directory that it is, or was, a copy of.
    pub copied_from: Option<CopiedFromReport>,
    /// That it went back in time.
    pub restored: Option<RestoredReport>,
    pub findings: Vec<Finding>,
}

/// Of which one it is a copy.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct CopiedFromReport {
    pub path: PathBuf,
    pub id: Uuid,
    /// What tells that it is one.
    pub why: Option<String>,
    /// When it was made a state directory of its own; null while it is only read.
    pub adopted_at: Option<Timestamp>,
}

/// When and from what it went back in time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RestoredReport {
    pub at: Timestamp,
    /// The incarnation that was put back.
    pub from_incarnation: u64,
    /// The last record that the queue had then.
    pub last_seq: u64,
    pub why: String,
}

impl StateReport {
    /// Reports on this state directory.
    pub(crate) fn of(dir: &StateDir) -> StateReport {
        let adopted = dir.past.copied_from.as_ref().map(|from| CopiedFromReport {
            path: from.path.clone(),
            id: from.state_id,
            why: None,
            adopted_at: Some(from.at),
        });
        let copied_from = match &dir.origin {
            DirectoryOrigin::Copied { of, why } => Some(CopiedFromReport {
                path: of.clone(),
                id: dir.identity.state_id,
                why: Some(why.clone()),
                adopted_at: None,
            }),
            _ => adopted,
        };
        let restored = dir.past.restored.as_ref().map(|restored| RestoredReport {
            at: restored.at,
            from_incarnation: restored.from_incarnation,
            last_seq: restored.log_end,
            why: restored.why.clone(),
        });
        StateReport {
            id: dir.identity.state_id,
            incarnation: dir.identity.incarnation,
            path: dir.paths.root().to_owned(),
            layout: dir.identity.layout,
            created_at: dir.identity.created_at,
            is_copy: dir.is_copy(),
            copied_from,
            restored,
            findings: findings(dir),
        }
    }
}
