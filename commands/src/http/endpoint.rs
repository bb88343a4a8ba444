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
        self.parameters.iter().chain(of_writes)
    }

    /// With these.
    pub(super) const fn with(self, parameters: &'static [Parameter]) -> Endpoint {
        Endpoint { parameters, ..self }
    }

    /// Also while the daemon recovers.
    pub(super) const fn while_recovering(self) -> Endpoint {
        Endpoint { steers_recovery: true, ..self }
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
        is_kept: false,
        one_of: &[],
        steers_recovery: false,
        shows_output: false,
        summary,
    }
}

/// A change, answered with a `T`.
pub(super) const fn post<T: JsonSchema>(
    path: &'static str,
    words: &'static [&'static str],
    summary: &'static str,
) -> Endpoint {
    endpoint::<T>(Method::Post, path, words, summary)
}

/// A member of the body.
pub(super) const fn member(name: &'static str, shape: Shape, to: To, about: &'static str) -> Parameter {
    given(name, Place::Body, shape, to, about)
}

/// The same, which must be given.
pub(super) const fn required(parameter: Parameter) -> Parameter {
    Parameter { required: true, ..parameter }
}

const fn given(name: &'static str, place: Place, shape: Shape, to: To, about: &'static str) -> Parameter {
    Parameter { name, place, shape, to, required: false, about }
}
