//! What an endpoint is: method, path, the command that answers it, and what may be given.

/// The methods that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Delete,
}

impl Method {
    pub(super) fn changes(self) -> bool {
        self != Method::Get
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Method::Get => "get",
            Method::Post => "post",
            Method::Delete => "delete",
        }
    }
}

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
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// From 1 on.
    Count,
    /// `true` or `false`.
    Flag,
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
    /// A job enters the queue: the body is the job.
    Submit,
}

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Endpoint {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) act: Act,
    pub(super) parameters: &'static [Parameter],
    /// The members that every answer has.
    pub(super) members: &'static [&'static str],
    /// Takes `limit` and `cursor`.
    pub(super) pages: bool,
    /// A write that makes sense while the daemon recovers.
    pub(super) steers_recovery: bool,
    pub(super) summary: &'static str,
}

const PAGE: [Parameter; 2] = [
    query("limit", Shape::Count, To::Option("--limit"), "At most so many"),
    query("cursor", Shape::Text, To::Option("--cursor"), "What next_cursor of the page before said"),
];

const OF_WRITES: [Parameter; 2] = [
    given("dry_run", Place::Either, Shape::Flag, To::Switch("--dry-run"), "Only show what would be done"),
    given("reason", Place::Either, Shape::Text, To::Option("--reason"), "Why, for the audit trail"),
];

impl Endpoint {
    /// All that may be given.
    pub(super) fn all_parameters(&self) -> impl Iterator<Item = &Parameter> {
        let pages = PAGE.iter().filter(|_| self.pages);
        self.parameters.iter().chain(pages).chain(OF_WRITES.iter().filter(|_| self.method.changes()))
    }

    /// With at least these members in its answer.
    pub(super) const fn answers(self, members: &'static [&'static str]) -> Endpoint {
        Endpoint { members, ..self }
    }

    /// With a list in pages.
    pub(super) const fn in_pages(self) -> Endpoint {
        Endpoint { pages: true, ..self }
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

const fn endpoint(
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
        members: &[],
        pages: false,
        steers_recovery: false,
        summary,
    }
}

/// A look.
pub(super) const fn get(
    path: &'static str,
    words: &'static [&'static str],
    summary: &'static str,
) -> Endpoint {
    endpoint(Method::Get, path, words, summary)
}

/// A change.
pub(super) const fn post(
    path: &'static str,
    words: &'static [&'static str],
    summary: &'static str,
) -> Endpoint {
    endpoint(Method::Post, path, words, summary)
}

/// A removal.
pub(super) const fn delete(
    path: &'static str,
    words: &'static [&'static str],
    summary: &'static str,
) -> Endpoint {
    endpoint(Method::Delete, path, words, summary)
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
    Parameter { required: true, ..given(name, Place::Path, Shape::Text, To::Words, about) }
}

/// The same, which must be given.
pub(super) const fn required(parameter: Parameter) -> Parameter {
    Parameter { required: true, ..parameter }
}

const fn given(name: &'static str, place: Place, shape: Shape, to: To, about: &'static str) -> Parameter {
    Parameter { name, place, shape, to, required: false, about }
}
