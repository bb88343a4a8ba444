//! What past recoveries left, for reports that go on without it: a damaged file costs at most itself.

use super::context::Context;
use crate::recovery::{HistoryEntry, HistoryError, RecoveryRecord, read_history, read_last};
use crate::state::StateDir;

/// The last recovery that came to its end; none, with a warning, when its record cannot be read.
pub(crate) fn last_recovery(context: &mut Context<'_>, dir: &StateDir) -> Option<RecoveryRecord> {
    or_warn(context, read_last(dir))
}

/// The past recoveries; none, with a warning, when their record cannot be read.
pub(crate) fn past_recoveries(context: &mut Context<'_>, dir: &StateDir) -> Vec<HistoryEntry> {
    or_warn(context, read_history(dir))
}

fn or_warn<T: Default>(context: &mut Context<'_>, read: Result<T, HistoryError>) -> T {
    read.unwrap_or_else(|e| {
        context.warn(&format!("{e}; what past recoveries did is not known"));
        T::default()
    })
}
