//! What a queued job waits for.

use std::collections::BTreeSet;

use crate::findings::Object;
use crate::queue::{Job, QueueState};

/// Returns what keeps a queued job from starting, other than its turn: the holder of its repository.
pub fn waiting_for(state: &QueueState, held: &BTreeSet<String>, job: &Job) -> Option<String> {
    let repository = job.repository.as_deref()?;
    match state.holder_of(repository) {
        Some(holder) => Some(Object::job(&holder.id).to_string()),
        None => held.contains(repository).then(|| Object::lock(repository).to_string()),
    }
}
