//! The state of `sentinel.lock`, with a sentence about it.

use crate::durable::{is_held, is_not_regular};
use crate::jobs::judgement::JudgeContext;
use crate::jobs::verdict::LockFact;
use crate::state::JobPaths;
use crate::system::is_network;

/// Reads the state of a job's lock.
pub(super) fn state_of_lock(look: &JudgeContext<'_>, paths: &JobPaths) -> (LockFact, String) {
    // Check this before any flock: on some network file systems a flock blocks for ever.
    if let Some(fact) = on_a_network(&look.dir.paths.as_known(&paths.attempts)) {
        return fact;
    }
    match is_held(&paths.sentinel_lock()) {
        Ok(true) => (LockFact::Held, "sentinel.lock is held".to_owned()),
        Ok(false) => (LockFact::Free, "sentinel.lock is free".to_owned()),
        // When there is no folder, the file system on which it would be made counts.
        Err(e) if e.is_not_found() => on_a_network(&look.dir.paths.as_known(look.dir.paths.root()))
            .unwrap_or((LockFact::Free, "there is no sentinel.lock".to_owned())),
        // It is not a file and cannot be locked. The job may have put it there: its processes decide.
        Err(e) if is_not_regular(&e.source) => {
            (LockFact::Free, format!("what is called sentinel.lock is none: {}", e.source))
        }
        Err(e) => {
            let why = format!("{e}: {}", e.source);
            (LockFact::Unusable(why.clone()), why)
        }
    }
}

fn on_a_network(folder: &std::path::Path) -> Option<(LockFact, String)> {
    let why = format!("its files are on a network file system ({})", is_network(folder)?);
    Some((LockFact::Unusable(why.clone()), why))
}
