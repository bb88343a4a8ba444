//! All evidence behind the verdict on something that may be an orphan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::orphans::CandidateEntry;
use super::past_proof::{PastProof, removals};
use crate::orphans::{Explained, OrphanVerdict};
use crate::state::{StateDir, Timestamp, Word};

/// The verdict of now, what it rests on, and what the last scan said.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct WhyOrphan {
    /// `container:ID`, `job_directory:NAME`, …
    pub object: String,
    /// `orphan`, `protected`, `unknown` or `gone`.
    pub verdict: Word,
    /// Every check that was made, with its answer and what was seen.
    pub evidence: Vec<String>,
    /// What stands against removing it.
    pub reason: Option<String>,
    /// The scan whose plan names it; null when the last one found it to be no orphan.
    pub plan_id: Option<String>,
    /// When that scan was.
    pub taken_at: Option<Timestamp>,
    /// The thing itself, with the checks of now; null when only the log of what was removed knows of it.
    pub candidate: Option<CandidateEntry>,
    /// When it was removed as an orphan before, the newest first.
    #[serde(default)]
    pub past: Vec<PastProof>,
}

impl WhyOrphan {
    /// Reports what was judged just now.
    pub(crate) fn new(dir: &StateDir, explained: &Explained) -> WhyOrphan {
        let candidate = CandidateEntry::of(&explained.candidate);
        let (plan_id, taken_at) = explained.plan.clone().unzip();
        WhyOrphan {
            object: candidate.object.clone(),
            verdict: explained.verdict().as_str().into(),
            evidence: explained.candidate.evidence(),
            reason: explained.objection().map(|c| format!("{}: {}", c.check, c.evidence)),
            plan_id,
            taken_at,
            past: removals(dir, &candidate.object),
            candidate: Some(candidate),
        }
    }

    /// Reports on something that was removed as an orphan and is no candidate any more; `None` when the log
    /// does not know it either. `name` is its id as a candidate, or the object.
    pub(crate) fn of_removed(dir: &StateDir, name: &str) -> Option<WhyOrphan> {
        let past = removals(dir, name);
        let last = past.first()?;
        Some(WhyOrphan {
            object: name.to_owned(),
            verdict: OrphanVerdict::Gone.as_str().into(),
            evidence: Vec::new(),
            reason: Some(format!("it was removed at {}", last.at)),
            plan_id: None,
            taken_at: None,
            candidate: None,
            past,
        })
    }
}
