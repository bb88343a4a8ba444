//! What became of one job in a recovery, in short: how the recovery's record keeps it.

use serde::{Deserialize, Serialize};

use super::settle::Settled;
use crate::queue::JobId;

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledJob {
    /// Which job.
    pub job_id: JobId,
    /// Which attempt.
    pub attempt: u32,
    /// The claim that began it.
    pub claim: Option<u64>,
    /// What was done, as [`super::Settlement::as_str`] says it.
    pub outcome: String,
}

impl SettledJob {
    /// Of a job that was judged.
    pub fn of(settled: &Settled) -> SettledJob {
        SettledJob {
            job_id: settled.job_id.clone(),
            attempt: settled.attempt,
            claim: settled.judgement.claim,
            outcome: settled.settlement.as_str().to_owned(),
        }
    }
}
