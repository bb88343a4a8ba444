//! Carries an operation out for a client of the daemon.

use std::ffi::OsString;

use hyper::body::Bytes;
use recovery::daemon::IdempotencyStore;
use recovery::logging::events;
use recovery::operations::{self, Answered, Call, FrontEnd, Requested, Site};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::answer::Answer;
use super::auth::Principal;
use super::endpoint::{DRY_RUN, Endpoint};
use super::problem::Problem;
use super::request::Given;
use super::shared::Shared;

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

/// Carries out what an endpoint is for.
pub(super) fn carry_out(
    shared: &Shared,
    principal: &Principal,
    endpoint: &Endpoint,
    given: &Given,
    body: &[u8],
) -> Answer {
    operate(shared, principal, endpoint, (given, body), |context, requested| {
        answer_of(endpoint, given, &(endpoint.row.run)(context, requested))
    })
}

/// Does something with the operation behind an endpoint.
fn operate<T>(
    shared: &Shared,
    principal: &Principal,
    endpoint: &Endpoint,
    (given, body): (&Given, &[u8]),
    run: impl FnOnce(&mut operations::Context<'_>, Requested<'_>) -> T,
) -> T {
    let words = given.command_line(endpoint);
    let how = (given.texts("reason").first().map(String::as_str), given.is_on(DRY_RUN));
    let members = given.request(endpoint);
    let requested = match endpoint.is_document {
        true => Requested::Document(body),
        false => Requested::Members(&members),
    };
    in_context(shared.site(), principal, how, &words, |context| run(context, requested))
}

/// A write, ready to be carried out.
#[derive(Clone)]
pub(super) struct Write<'a> {
    pub(super) shared: &'a Shared,
    pub(super) principal: &'a Principal,
    pub(super) endpoint: &'static Endpoint,
    pub(super) given: Given,
    pub(super) body: Bytes,
    pub(super) book: &'a IdempotencyStore,
    pub(super) target: String,
}

impl Write<'_> {
    /// What makes two requests the same: who may do it, method, path, query, body.
    pub(super) fn identity(&self) -> Vec<u8> {
        let mut digest = Sha256::new();
        for part in [self.principal.role.as_str().as_bytes(), self.target.as_bytes(), &self.body] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        digest.finalize().to_vec()
    }

    /// Without a key.
    pub(super) fn carry_out(&self) -> Answer {
        carry_out(self.shared, self.principal, self.endpoint, &self.given, &self.body)
    }

    /// What the operation is to do, before it does it.
    pub(super) fn pin(&self) -> Value {
        let given = (&self.given, &*self.body);
        operate(self.shared, self.principal, self.endpoint, given, self.endpoint.row.pin)
    }

    /// Carries out what was pinned.
    pub(super) fn run_pinned(&self, pins: &Value, again: bool) -> Answer {
        let given = (&self.given, &*self.body);
        operate(self.shared, self.principal, self.endpoint, given, |context, requested| {
            let answered = (self.endpoint.row.run_pinned)(context, requested, pins, again);
            answer_of(self.endpoint, &self.given, &answered)
        })
    }
}

/// A path part.
fn encoded(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    part.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The document, or why there is none; of what was made, where it is.
fn answer_of(endpoint: &Endpoint, given: &Given, answered: &Answered) -> Answer {
    if let Err(error) = &answered.ended {
        return Problem::of(error, members(answered)).into();
    }
    if !endpoint.created || given.is_on(DRY_RUN) {
        return Answer::json(200, answered.document.clone());
    }
    let made = members(answered);
    let id = made.as_ref().and_then(|members| members.get("job_id")?.as_str());
    let location = id.map(|id| format!("{}/{}", endpoint.path, encoded(id)));
    Answer { location, ..Answer::json(201, answered.document.clone()) }
}

/// The document's members, when it is an object: the report, also that of a failure.
pub(super) fn members(answered: &Answered) -> Option<Map<String, Value>> {
    match answered.ended.as_ref().err().and_then(operations::OperationError::report_json) {
        Some(Value::Object(members)) => Some(members),
        Some(_) => None,
        None => serde_json::from_slice(&answered.document).ok(),
    }
}

/// A front end without a person: a client gets the report, and everything else goes to the log. The client
/// has said what is to be done, so every question counts as agreed to.
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
