//! Carries an operation out for a client of the daemon.

use std::ffi::OsString;

use recovery::logging::events;
use recovery::operations::{self, Answered, Call, FrontEnd, Site};
use serde_json::{Map, Value};
use tracing::{info, warn};

use super::auth::Principal;

/// Gives something what an operation works with; `words` are its command line, for the trail.
pub(super) fn in_context<T>(
    site: Site,
    principal: &Principal,
    (reason, dry_run): (Option<&str>, bool),
    words: &[OsString],
    run: impl FnOnce(&mut operations::Context<'_>) -> T,
) -> T {
    let word = words.iter().filter_map(|word| word.to_str()).find(|word| !word.starts_with('-'));
    let call = Call {
        actor: principal.invoker(words).actor(word.unwrap_or_default(), reason),
        dry_run,
        sees_output: principal.sees_output,
        is_streamed: false,
        inside: None,
        folder: None,
    };
    run(&mut operations::Context::new(site, call, Unattended))
}

/// The document's members, when it is an object: the report, also that of a failure.
pub(super) fn members(answered: &Answered) -> Option<Map<String, Value>> {
    match answered.ended.as_ref().err().and_then(operations::OperationError::report_json) {
        Some(Value::Object(members)) => Some(members),
        Some(_) => None,
        None => serde_json::from_slice(&answered.document).ok(),
    }
}

/// Nobody reads along: a client gets the report, and the log what is told besides. The client has said what is to be
/// done, so it agrees.
struct Unattended;

impl FrontEnd for Unattended {
    fn warn(&mut self, sentence: &str) {
        warn!(event = events::TROUBLE, "{sentence}");
    }

    fn note(&mut self, sentence: &str) {
        info!(event = events::NOTE, "{sentence}");
    }

    fn agrees(&mut self, _question: &str) -> Option<bool> {
        Some(true)
    }
}
