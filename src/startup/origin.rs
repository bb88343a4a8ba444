//! Findings about a state directory as a whole.

use crate::findings::{Finding, Object, catalogue};
use crate::state::{DirectoryOrigin, StateDir};

/// Returns the findings about a state directory as a whole. That it went back in time is reported until a
/// recovery has reported it.
pub(crate) fn findings(dir: &StateDir) -> Vec<Finding> {
    if let DirectoryOrigin::Copied { of, why } = &dir.origin {
        let sentence = format!("it is a copy of {}: {why}; it is only read", of.display());
        return vec![Finding::new(&catalogue::STATE_DIRECTORY_COPIED, Object::State, sentence)];
    }
    let untold = dir.past.restored.as_ref().filter(|restored| !restored.is_told);
    untold.map(|_| restored(dir)).into_iter().flatten().collect()
}

/// Returns the finding that it went back in time, if it did.
pub(crate) fn restored(dir: &StateDir) -> Option<Finding> {
    let restored = dir.past.restored.as_ref()?;
    let sentence = format!(
        "{}; noticed at {}, with record {} as the last of the queue",
        restored.why, restored.at, restored.log_end
    );
    Some(Finding::new(&catalogue::STATE_DIRECTORY_RESTORED, Object::State, sentence))
}
