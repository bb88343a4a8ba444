//! What a daemon says: it has no terminal.

use std::io::Write as _;
use std::sync::Arc;

use recovery::daemon::Trouble;

/// A daemon has no terminal: what keeps deliveries from being recorded goes where its other lines go.
pub(crate) fn trouble_to_stderr() -> Trouble {
    Arc::new(|line| {
        // Nobody can be told that nobody can be told.
        let _ = writeln!(std::io::stderr(), "warning: deliveries cannot be recorded: {line}");
    })
}

/// A daemon's lines go to stderr; that nobody reads them is no failure.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
