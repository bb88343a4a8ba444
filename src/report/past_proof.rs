//! The evidence of a verdict that was acted on: it is kept with the act, and shown as long as it is known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit;
use crate::findings::Object;
use crate::orphans;
use crate::state::{StateDir, Timestamp};

/// An act, and what it rested on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct PastProof {
    pub at: Timestamp,
    /// `release`, or what was done to an orphan.
    pub action: String,
    /// Who, and by which command: as it was recorded.
    pub by: String,
    /// What was given with `--reason`.
    pub reason: Option<String>,
    /// What proved that it was right, in the order in which it was looked at.
    pub evidence: Vec<String>,
}

/// Returns each time that a lock was given back in its holder's stead, with the evidence, newest first, from
/// the audit trail. Damage of the trail is a finding elsewhere.
pub(super) fn releases(dir: &StateDir, object: &Object) -> Vec<PastProof> {
    let entries = audit::read(dir).map(|trail| trail.entries).unwrap_or_default();
    let own = entries.into_iter().map(|(_, entry)| entry);
    let own = own.filter(|entry| entry.object == *object && !entry.evidence.is_empty());
    let told = own.map(|entry| PastProof {
        at: entry.at,
        action: entry.action,
        by: entry.by,
        reason: entry.why,
        evidence: entry.evidence,
    });
    newest_first(told.collect())
}

/// Returns each time that something was removed as an orphan, with the evidence, newest first, from the
/// orphans' log. `name` is the candidate's id or the object.
pub(super) fn removals(dir: &StateDir, name: &str) -> Vec<PastProof> {
    let entries = orphans::entries(dir).unwrap_or_default();
    let own = entries.into_iter().filter(|entry| entry.id == name || entry.object == name);
    let told = own.filter(|entry| !entry.evidence.is_empty()).map(|entry| PastProof {
        at: entry.at,
        action: entry.result,
        by: entry.by,
        reason: entry.reason,
        evidence: entry.evidence,
    });
    newest_first(told.collect())
}

fn newest_first(mut proofs: Vec<PastProof>) -> Vec<PastProof> {
    proofs.reverse();
    proofs
}
