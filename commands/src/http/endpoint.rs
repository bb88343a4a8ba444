//! What an endpoint is: an operation, and what may be given to it.

use std::ops::Deref;

use recovery::operations::{Entry, Row};

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

/// What it becomes on the command line.
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

/// An operation's endpoint: the operation's entry, and what may be given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Endpoint {
    pub(super) row: &'static Row,
    pub(super) parameters: &'static [Parameter],
}

impl Deref for Endpoint {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.row.entry
    }
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
}

const fn given(name: &'static str, place: Place, shape: Shape, to: To, about: &'static str) -> Parameter {
    Parameter { name, place, shape, to, required: false, about }
}
