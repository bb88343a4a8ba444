//! What past recoveries left, for reports that go on without it: a damaged file costs at most itself.

use recovery::recovery::{HistoryEntry, HistoryError, RecoveryRecord, read_history, read_last};
use recovery::state::StateDir;

use crate::output::Output;

/// The last recovery that came to its end; none, with a warning, when its record cannot be read.
pub(crate) fn last_recovery(output: &mut Output, dir: &StateDir) -> Option<RecoveryRecord> {
    told(output, read_last(dir))
}

/// The past recoveries; none, with a warning, when their record cannot be read.
pub(crate) fn past_recoveries(output: &mut Output, dir: &StateDir) -> Vec<HistoryEntry> {
    told(output, read_history(dir))
}

fn told<T: Default>(output: &mut Output, read: Result<T, HistoryError>) -> T {
    read.unwrap_or_else(|e| {
        output.warning(&format!("{e}; what past recoveries did is not known"));
        T::default()
    })
}
