//! Requests with an `Idempotency-Key`: sent again, they are answered as before, and not done again.
//!
//! What could be done twice is pinned before it is done (see [`recovery::daemon::IdempotencyStore`]): the id of the
//! job that a submission makes, the attempts that a resume begins, the grant that a release gives back. All
//! other writes change nothing when they are done again.

use recovery::daemon::{OpenKey, PriorRequest, StoredAnswer};
use recovery::durable::error_chain;
use serde_json::Value;

use super::answer::Answer;
use super::execute::Write;
use super::problem::Problem;
use recovery::logging::events;
use tracing::warn;

/// The longest key, in bytes.
pub(super) const LONGEST: usize = 255;

/// Whether a text can be a key.
pub(super) fn is_key(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Carries a write out under its key, or answers as before.
pub(super) fn carry_out(write: &Write<'_>, key: &str) -> Answer {
    let request = write.identity();
    let Some(open) = write.book.take(key, &request) else {
        let detail = "a request with this Idempotency-Key is being carried out";
        return Problem::new(409, "idempotency-key-in-use", "the key is in use", detail)
            .retry_after(1)
            .into();
    };
    match open.known() {
        Err(e) => {
            Problem::new(500, "disk", "the key cannot be looked at", format!("{e}: {}", e.source)).into()
        }
        Ok(PriorRequest::OtherRequest) => {
            let detail = "this Idempotency-Key was used for another request";
            Problem::new(409, "idempotency-key-reused", "the key belongs to another request", detail).into()
        }
        Ok(PriorRequest::Answered(kept)) => replayed(kept),
        Ok(PriorRequest::Unfinished(pins)) => finish(write, &open, &pins, true),
        Ok(PriorRequest::Nothing) => {
            let pins = write.pin();
            match open.begin(&pins) {
                Ok(()) => finish(write, &open, &pins, false),
                Err(e) => {
                    let detail = format!("nothing was done: {e}: {}", e.source);
                    Problem::new(507, "disk", "the key cannot be written", detail).into()
                }
            }
        }
    }
}

fn finish(write: &Write<'_>, open: &OpenKey<'_>, pins: &Value, again: bool) -> Answer {
    let answer = write.run_pinned(pins, again);
    // A request that failed by our fault, or came too early, may succeed when it is sent again.
    if answer.status < 500 {
        let kept = StoredAnswer {
            status: answer.status,
            content_type: answer.content_type.to_owned(),
            body: String::from_utf8_lossy(&answer.body).into_owned(),
            location: answer.location.clone(),
        };
        if let Err(e) = open.answer(pins, &kept) {
            // The request counts as unfinished: sent again, it is found done by its pins.
            warn!(
                event = events::TROUBLE,
                "the answer to a request with a key is not kept: {}",
                error_chain(&e)
            );
        }
    }
    answer
}

fn replayed(kept: StoredAnswer) -> Answer {
    let content_type = match kept.content_type.as_str() {
        "application/problem+json" => "application/problem+json",
        _ => "application/json",
    };
    let answer = Answer::new(kept.status, content_type, kept.body);
    Answer { location: kept.location, replayed: true, ..answer }
}
