//! What an endpoint is: method, path, the command that answers it, what may be given, and the report that it
//! answers with.

use recovery::operations::{Method, Row};
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Where something is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Body,
    /// In the query or in the body.
    Either,
}

/// What its value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    /// A name: not empty, without control characters; the command checks the rest.
    Name,
    /// Text of this form, which the command checks.
    Like(&'static str),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// From 1 on.
    Count,
    /// `true` or `false`.
    Flag,
    /// A list of these words.
    SomeOf(&'static [&'static str]),
    /// A list; in a query given several times, or with commas.
    Texts,
}

/// What becomes of it on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// `--name VALUE`; a list gives one for each.
    Option(&'static str),
    /// `--name`, when it is true.
    Switch(&'static str),
    /// Words that stand by themselves.
    Words,
}

/// Something that may be given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) shape: Shape,
    pub(super) to: To,
    pub(super) required: bool,
    pub(super) about: &'static str,
}

/// How an endpoint is answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// By this command.
    Command(&'static [&'static str]),
    /// By this operation.
    Operation(&'static Row),
    /// A job enters the queue: the body is the job.
    Submit,
}

/// What an answer looks like.
pub(super) type Describe = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    schemas.subschema_for::<T>()
}

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Endpoint {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) act: Act,
    pub(super) parameters: &'static [Parameter],
    /// The report that it answers with.
    pub(super) answer: Describe,
    /// Takes `limit` and `cursor`.
    pub(super) pages: bool,
    /// Its answer may be given again for a moment, while nothing has changed; takes no parameters.
    pub(super) is_kept: bool,
    /// One of these members must say something.
    pub(super) one_of: &'static [&'static str],
    /// A write that makes sense while the daemon recovers.
    pub(super) steers_recovery: bool,
    /// Its answer is what a job prints, and nothing without that.
    pub(super) shows_output: bool,
    pub(super) summary: &'static str,
}

const PAGE: [Parameter; 3] = [
    query("limit", Shape::Count, To::Option("--limit"), "At most so many"),
    query(
        "cursor",
        Shape::Like("^[0-9]{1,12}\\.[0-9]{1,9}$"),
        To::Option("--cursor"),
        "What next_cursor of the page before said",
    ),
    query("reverse", Shape::Flag, To::Switch("--reverse"), "In the opposite order"),
];

/// The parameter of a change that makes a rehearsal of it.
pub(super) const DRY_RUN: &str = "dry_run";

const OF_WRITES: [Parameter; 2] = [
    given(DRY_RUN, Place::Either, Shape::Flag, To::Switch("--dry-run"), "Only show what would be done"),
    given("reason", Place::Either, Shape::Text, To::Option("--reason"), "Why, for the audit trail"),
];

impl Endpoint {
    /// All that may be given.
    pub(super) fn all_parameters(&self) -> impl Iterator<Item = &Parameter> {
        // An endpoint may say more of one of them: that it is required.
        let is_own = |p: &&Parameter| self.parameters.iter().any(|own| own.name == p.name);
        let of_writes = OF_WRITES.iter().filter(|_| self.method.changes()).filter(move |p| !is_own(p));
        let pages = PAGE.iter().filter(|_| self.pages);
        self.parameters.iter().chain(pages).chain(of_writes)
    }

    /// With one of these members, which must say something.
    pub(super) const fn one_of(self, one_of: &'static [&'static str]) -> Endpoint {
        Endpoint { one_of, ..self }
    }

    /// With a list in pages.
    pub(super) const fn in_pages(self) -> Endpoint {
        Endpoint { pages: true, ..self }
    }

    /// Whose answer may be given again, see [`super::response_cache`].
    pub(super) const fn cached(self) -> Endpoint {
        Endpoint { is_kept: true, ..self }
    }

    /// With these.
    pub(super) const fn with(self, parameters: &'static [Parameter]) -> Endpoint {
        Endpoint { parameters, ..self }
    }

    /// Also while the daemon recovers.
    pub(super) const fn while_recovering(self) -> Endpoint {
        Endpoint { steers_recovery: true, ..self }
    }

    /// Whose answer is what a job prints.
    pub(super) const fn of_output(self) -> Endpoint {
        Endpoint { shows_output: true, ..self }
    }
}

const fn endpoint<T: JsonSchema>(
    method: Method,
    path: &'static str,
    words: &'static [&'static str],
    summary: &'static str,
) -> Endpoint {
    let act = Act::Command(words);
    Endpoint {
        method,
        path,
        act,
        parameters: &[],
        answer: of::<T>,
        pages: false,
        is_kept: false,
        one_of: &[],
        steers_recovery: false,
        shows_output: false,
        summary,
    }
}

/// A look, answered with a `T`.
pub(super) const fn get<T: JsonSchema>(
    path: &'static str,
    words: &'static [&'static str],
    summary: &'static str,
) -> Endpoint {
    endpoint::<T>(Method::Get, path, words, summary)
}

/// A change, answered with a `T`.
pub(super) const fn post<T: JsonSchema>(
    path: &'static str,
    words: &'static [&'static str],
    summary: &'static str,
) -> Endpoint {
    endpoint::<T>(Method::Post, path, words, summary)
}

/// A removal, answered with a `T`.
pub(super) const fn delete<T: JsonSchema>(
    path: &'static str,
    words: &'static [&'static str],
    summary: &'static str,
) -> Endpoint {
    endpoint::<T>(Method::Delete, path, words, summary)
}

/// A parameter of the query.
pub(super) const fn query(name: &'static str, shape: Shape, to: To, about: &'static str) -> Parameter {
    given(name, Place::Query, shape, to, about)
}

/// A member of the body.
pub(super) const fn member(name: &'static str, shape: Shape, to: To, about: &'static str) -> Parameter {
    given(name, Place::Body, shape, to, about)
}

/// A part of the path; becomes a word.
pub(super) const fn part(name: &'static str, about: &'static str) -> Parameter {
    Parameter { required: true, ..given(name, Place::Path, Shape::Name, To::Words, about) }
}

/// The same, which must be given.
pub(super) const fn required(parameter: Parameter) -> Parameter {
    Parameter { required: true, ..parameter }
}

const fn given(name: &'static str, place: Place, shape: Shape, to: To, about: &'static str) -> Parameter {
    Parameter { name, place, shape, to, required: false, about }
}
