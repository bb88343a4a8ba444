//! An operation, and its entry in the table that HTTP, its description and the documentation are made from.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context::Context;
use super::error::{Ending, OperationError};
use crate::queue::JobStatus;

/// Something that can be asked for.
///
/// The request's fields are the arguments of the command line (clap), the parameters of the endpoint and the members of
/// its body (serde), by the same names.
pub trait Operation: Serialize + DeserializeOwned + JsonSchema + clap::Args {
    /// What it answers with.
    type Report: Serialize + DeserializeOwned + JsonSchema + std::fmt::Debug + Send + Sync + 'static;

    /// Its name, its endpoint, and who may ask for it.
    const ENTRY: Entry;

    /// Reads a request that is a whole document.
    ///
    /// # Errors
    /// When it is none.
    fn from_document(document: &[u8]) -> Result<Self, OperationError> {
        serde_json::from_slice(document).map_err(OperationError::bad_request)
    }

    /// Carries it out, or, in a dry run, tells what would be done.
    fn run(&self, context: &mut Context<'_>) -> Result<Done<Self::Report>, OperationError>;

    /// What a request with an idempotency key is to do, noted durably before it does it: the id of the job that it
    /// makes, the grant that it gives back. `null` for what changes nothing when it is done again.
    fn pin(&self, _context: &mut Context<'_>) -> Value {
        Value::Null
    }

    /// Carries out what was pinned. `is_repeated`: it may have been done already, in part or as a whole.
    fn run_pinned(
        &self,
        context: &mut Context<'_>,
        _pinned: &Value,
        _is_repeated: bool,
    ) -> Result<Done<Self::Report>, OperationError> {
        self.run(context)
    }
}

/// How an operation came to its end.
#[derive(Debug)]
pub struct Done<R> {
    /// What it answers.
    pub report: R,
    /// Whether all of it was done, and what it says of the state.
    pub ending: Ending,
}

impl<R> Done<R> {
    /// All was done.
    pub(crate) fn all(report: R) -> Done<R> {
        Done { report, ending: Ending::Done }
    }

    /// All was done, or, if not `complete`, only a part.
    pub(crate) fn complete_if(complete: bool, report: R) -> Done<R> {
        Done { report, ending: if complete { Ending::Done } else { Ending::Degraded } }
    }
}

/// The methods of HTTP that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// It reads.
    Get,
    /// It changes something.
    Post,
    /// It removes something.
    Delete,
}

impl Method {
    /// Whether it may change something; then it needs the role of an administrator.
    pub const fn changes(self) -> bool {
        !matches!(self, Method::Get)
    }

    /// As OpenAPI writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Method::Get => "get",
            Method::Post => "post",
            Method::Delete => "delete",
        }
    }
}

/// An operation whose last arguments are jobs, as both dashboards offer it: an entry of the menu, and a button.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Offer {
    /// On the button: `Clean up`.
    pub verb: &'static str,
    /// What it does, in a sentence or two.
    pub does: &'static str,
    /// Of jobs of these statuses.
    pub statuses: &'static [JobStatus],
    /// The member of the request that names the jobs.
    pub ids: &'static str,
    /// Whether a dry run shows what it would do.
    pub can_rehearse: bool,
}

/// What an operation is called, what it changes, who may ask for it and where.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The words of the command line.
    pub words: &'static [&'static str],
    /// Whether it reads or changes.
    pub method: Method,
    /// The endpoint's path; a part in braces is the request's field of that name.
    pub path: &'static str,
    /// What it does, for the description of the endpoints.
    pub summary: &'static str,
    /// The status of a success.
    pub created: bool,
    /// A change that makes sense while the daemon recovers.
    pub while_recovering: bool,
    /// Its answer is what a job prints: not for viewers, unless the configuration says so.
    pub shows_output: bool,
    /// Its answer may be given again for a moment while nothing has changed. What no file tells, such as that a process
    /// has died, is then a moment old.
    pub cached: bool,
    /// A reason must be given.
    pub needs_reason: bool,
    /// One of these fields must be given.
    pub one_of: &'static [&'static str],
    /// The body of the endpoint is the request as one document, which the operation reads and checks itself.
    pub is_document: bool,
    /// What both dashboards offer to do with jobs by it.
    pub offer: Option<Offer>,
    /// It reads the queue, which a daemon has in memory, and nothing that depends on the process that asks: a daemon is
    /// asked for it where one lives.
    pub from_queue: bool,
    /// It changes what a copy of a state directory is: it is for copies.
    pub for_copies: bool,
}

impl Entry {
    const fn new(
        method: Method,
        words: &'static [&'static str],
        path: &'static str,
        summary: &'static str,
    ) -> Entry {
        Entry {
            words,
            method,
            path,
            summary,
            created: false,
            while_recovering: false,
            shows_output: false,
            cached: false,
            needs_reason: false,
            one_of: &[],
            is_document: false,
            offer: None,
            from_queue: false,
            for_copies: false,
        }
    }

    /// Of an operation that reads.
    pub(crate) const fn get(
        words: &'static [&'static str],
        path: &'static str,
        summary: &'static str,
    ) -> Entry {
        Entry::new(Method::Get, words, path, summary)
    }

    /// Of an operation that changes.
    pub(crate) const fn post(
        words: &'static [&'static str],
        path: &'static str,
        summary: &'static str,
    ) -> Entry {
        Entry::new(Method::Post, words, path, summary)
    }

    /// Of an operation that removes.
    pub(crate) const fn delete(
        words: &'static [&'static str],
        path: &'static str,
        summary: &'static str,
    ) -> Entry {
        Entry::new(Method::Delete, words, path, summary)
    }

    /// Of an operation that has no endpoint: it works where it is asked for.
    pub(crate) const fn local(method: Method, words: &'static [&'static str]) -> Entry {
        Entry::new(method, words, "", "")
    }

    /// Path and query of a request that reads.
    pub fn target(&self, request: &Value) -> String {
        let mut path = self.path.to_owned();
        let mut query: Vec<String> = Vec::new();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        for (name, value) in request.as_object().into_iter().flatten() {
            let place = format!("{{{name}}}");
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            let values: Vec<String> = values.iter().map(|value| encoded(&text(value))).collect();
            match path.contains(&place) {
                true => path = path.replace(&place, &values.concat()),
                false => query.extend(values.iter().map(|value| format!("{name}={value}"))),
            }
        }
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }

    /// Its words as one text, by which a front end names it.
    pub fn name(&self) -> String {
        self.words.join(" ")
    }

    /// See [`Entry::created`].
    pub(crate) const fn creates(self) -> Entry {
        Entry { created: true, ..self }
    }

    /// See [`Entry::while_recovering`].
    pub(crate) const fn while_recovering(self) -> Entry {
        Entry { while_recovering: true, ..self }
    }

    /// See [`Entry::shows_output`].
    pub(crate) const fn of_output(self) -> Entry {
        Entry { shows_output: true, ..self }
    }

    /// See [`Entry::needs_reason`].
    pub(crate) const fn with_reason(self) -> Entry {
        Entry { needs_reason: true, ..self }
    }

    /// See [`Entry::cached`].
    pub(crate) const fn cached(self) -> Entry {
        Entry { cached: true, ..self }
    }

    /// See [`Entry::is_document`].
    pub(crate) const fn of_document(self) -> Entry {
        Entry { is_document: true, ..self }
    }

    /// See [`Entry::offer`].
    pub const fn offered(self, offer: Offer) -> Entry {
        Entry { offer: Some(offer), ..self }
    }

    /// See [`Entry::from_queue`].
    pub const fn from_queue(self) -> Entry {
        Entry { from_queue: true, ..self }
    }

    /// See [`Entry::for_copies`].
    pub(crate) const fn for_copies(self) -> Entry {
        Entry { for_copies: true, ..self }
    }

    /// See [`Entry::one_of`].
    pub(crate) const fn one_of(self, one_of: &'static [&'static str]) -> Entry {
        Entry { one_of, ..self }
    }
}

/// A name as a part of a path or a query.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// What a front end gets that knows no types: the document, and how it ended.
#[derive(Debug)]
pub struct Answered {
    /// How it ended.
    pub ended: Result<Ending, OperationError>,
    /// The report as JSON in one line; empty when there is none.
    pub document: Vec<u8>,
}

impl Answered {
    fn of<R: Serialize>(outcome: Result<Done<R>, OperationError>) -> Answered {
        match outcome {
            Err(error) => Answered { ended: Err(error), document: Vec::new() },
            Ok(Done { report, ending }) => match serde_json::to_vec(&report) {
                Ok(mut document) => {
                    document.push(b'\n');
                    Answered { ended: Ok(ending), document }
                }
                Err(e) => Answered { ended: Err(OperationError::internal(e)), document: Vec::new() },
            },
        }
    }
}

/// A request as a front end has it that knows no types.
#[derive(Debug, Clone, Copy)]
pub enum Requested<'a> {
    /// Its members.
    Members(&'a Value),
    /// A document, as it came.
    Document(&'a [u8]),
}

/// An operation in the table: what can be done with it without knowing its types.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// See [`Operation::ENTRY`].
    pub entry: Entry,
    /// The schema of its request.
    pub request: fn(&mut SchemaGenerator) -> Schema,
    /// The schema of its report.
    pub report: fn(&mut SchemaGenerator) -> Schema,
    /// The definition of its arguments.
    pub arguments: fn() -> clap::Command,
    /// See [`Operation::run`].
    pub run: fn(&mut Context<'_>, Requested<'_>) -> Answered,
    /// See [`Operation::pin`].
    pub pin: fn(&mut Context<'_>, Requested<'_>) -> Value,
    /// See [`Operation::run_pinned`].
    pub run_pinned: fn(&mut Context<'_>, Requested<'_>, &Value, bool) -> Answered,
}

/// The row of an operation.
pub(super) const fn row<O: Operation>() -> Row {
    Row {
        entry: O::ENTRY,
        request: |schemas| schemas.root_schema_for::<O>(),
        report: |schemas| schemas.subschema_for::<O::Report>(),
        arguments: || O::augment_args(clap::Command::new("recoveryctl")),
        run: |context, request| Answered::of(parsed::<O>(request).and_then(|request| run(context, &request))),
        pin: |context, request| parsed::<O>(request).map_or(Value::Null, |request| request.pin(context)),
        run_pinned: |context, request, pinned, is_repeated| {
            let run = |request: O| {
                check_home::<O>(context)?;
                request.run_pinned(context, pinned, is_repeated)
            };
            Answered::of(parsed::<O>(request).and_then(run))
        },
    }
}

/// Carries an operation out.
pub fn run<O: Operation>(context: &mut Context<'_>, request: &O) -> Result<Done<O::Report>, OperationError> {
    check_home::<O>(context)?;
    request.run(context)
}

/// Nothing is changed in a copy of a state directory.
fn check_home<O: Operation>(context: &Context<'_>) -> Result<(), OperationError> {
    match O::ENTRY.method.changes() && !O::ENTRY.for_copies && !context.is_dry_run() {
        true => context.refuse_in_a_copy(),
        false => Ok(()),
    }
}

fn parsed<O: Operation>(request: Requested<'_>) -> Result<O, OperationError> {
    match request {
        Requested::Members(members) => O::deserialize(members).map_err(OperationError::bad_request),
        Requested::Document(document) => O::from_document(document),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn target_has_path_and_query() {
        let entry = Entry::get(&["x"], "/api/jobs/{id}/output", "");
        assert_eq!(
            entry.target(&json!({ "id": "a/b ü%?&#" })),
            "/api/jobs/a%2Fb%20%C3%BC%25%3F%26%23/output"
        );
        let request = json!({ "id": "a", "kind": ["x", "y"] });
        assert_eq!(entry.target(&request), "/api/jobs/a/output?kind=x&kind=y");
        assert_eq!(entry.target(&json!({ "id": "a", "all": true })), "/api/jobs/a/output?all=true");
    }
}
