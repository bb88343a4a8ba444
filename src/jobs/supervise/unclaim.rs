//! Gives a claim back under which nothing was begun.

use tracing::debug;

use super::finish::actor;
use super::settings::{SuperviseError, SuperviseSettings, Supervised};
use crate::durable::error_chain;
use crate::jobs::record;
use crate::logging::events;
use crate::queue::{Operation, append};
use crate::state::{StateDir, Timestamp};

pub(super) fn give_back(
    dir: &StateDir,
    settings: &SuperviseSettings,
    why: &str,
    not_before: Option<Timestamp>,
) -> Result<Supervised, SuperviseError> {
    let unclaim = Operation::Unclaim {
        job: settings.job.clone(),
        claim: settings.claim,
        reason: why.to_owned(),
        not_before,
        failed_start: false,
    };
    append(dir, &actor(), &[unclaim])?;
    if let Err(e) = record::advance(dir, &settings.job, settings.claim.seq()) {
        // The record is derived from the log: a recovery writes it anew.
        debug!(event = events::TROUBLE, "the job's record is behind: {}", error_chain(&e));
    }
    Ok(Supervised::GivenBack { why: why.to_owned() })
}
