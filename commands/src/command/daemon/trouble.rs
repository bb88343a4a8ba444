//! What a daemon reports about its deliveries and requests: in the log, because it has no terminal.

use std::sync::Arc;

use recovery::daemon::Trouble;
use recovery::logging::{Repeats, events};
use tracing::info;

/// Logs what keeps deliveries from being recorded, each time it is reported.
pub(crate) fn trouble_to_log() -> Trouble {
    let repeats = Repeats::new("deliveries cannot be recorded");
    Arc::new(move |line| repeats.failed(&line))
}

/// Prints a line for each request with `-v`.
pub(crate) fn tell_request(line: &str) {
    info!(event = events::REQUEST, "{line}");
}
