//! Every piece of evidence behind the verdict on something that may be an orphan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::orphans::CandidateEntry;
use crate::orphans::Explained;
use crate::state::{Timestamp, Word};

/// The verdict of now, what it rests on, and what the last scan said.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct WhyOrphan {
    /// `container:ID`, `job_directory:NAME`, …
    pub object: String,
    /// `orphan`, `protected`, `unknown` or `gone`.
    #[serde(deserialize_with = "crate::state::word::word")]
    pub verdict: Word,
    /// Every check that was made, with its answer and what was seen.
    pub evidence: Vec<String>,
    /// What stands against removing it.
    pub reason: Option<String>,
    /// The scan whose plan names it; null when the last one found it to be no orphan.
    pub plan_id: Option<String>,
    /// When that scan was.
    pub taken_at: Option<Timestamp>,
    /// The thing itself, with the checks of now; none when it is gone.
    pub candidate: CandidateEntry,
}

impl WhyOrphan {
    /// Of what was judged just now.
    #[must_use]
    pub fn new(explained: &Explained) -> WhyOrphan {
        let candidate = CandidateEntry::of(&explained.candidate);
        let answer = |passed| match passed {
            Some(true) => "passed",
            Some(false) => "failed",
            None => "unknown",
        };
        let told =
            candidate.checks.iter().map(|c| format!("{} {}: {}", c.check, answer(c.passed), c.evidence));
        let (plan_id, taken_at) = explained.plan.clone().unzip();
        WhyOrphan {
            object: candidate.object.clone(),
            verdict: explained.verdict().as_str(),
            evidence: told.collect(),
            reason: explained.objection().map(|c| format!("{}: {}", c.check, c.evidence)),
            plan_id,
            taken_at,
            candidate,
        }
    }
}
