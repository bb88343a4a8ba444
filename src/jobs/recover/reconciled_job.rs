//! The result for one job, as the recovery's record keeps it.

use serde::{Deserialize, Serialize};

use super::reconcile::Reconciled;
use crate::queue::{Claim, JobId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReconciledJob {
    pub job_id: JobId,
    pub attempt: u32,
    /// The claim that began the attempt.
    pub claim: Option<Claim>,
    /// The result, as [`super::Reconciliation::as_str`] has it.
    pub outcome: String,
}

impl ReconciledJob {
    /// Of a job that was judged.
    pub(crate) fn of(reconciled: &Reconciled) -> ReconciledJob {
        ReconciledJob {
            job_id: reconciled.job_id.clone(),
            attempt: reconciled.attempt,
            claim: reconciled.judgement.claim,
            outcome: reconciled.reconciliation.as_str().to_owned(),
        }
    }
}
