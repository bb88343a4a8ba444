//! What a daemon says of its deliveries and requests: through the log, for it has no terminal.

use std::sync::Arc;

use recovery::daemon::Trouble;
use recovery::logging::{Repeats, events};
use tracing::info;

/// What keeps deliveries from being recorded, as often as it is told.
pub(crate) fn trouble_to_log() -> Trouble {
    let repeats = Repeats::new("deliveries cannot be recorded");
    Arc::new(move |line| repeats.failed(&line))
}

/// For those who gave `-v`.
pub(crate) fn tell_request(line: &str) {
    info!(event = events::REQUEST, "{line}");
}
