//! Why a request cannot be entered.

use crate::state::names::BadName;

/// An invalid request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadRequest {
    /// Bytes that are no text.
    #[error("it is not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// The first such byte, counted from 1.
        at: usize,
    },
    /// Text that is no JSON.
    #[error("it is no JSON: {0}")]
    NotJson(String),
    /// JSON, but no object.
    #[error("it must be a JSON object, such as {{\"command\":[\"make\",\"all\"]}}")]
    NotAnObject,
    /// A member that no request has.
    #[error("there is no member '{name}'; {}", meant.map_or_else(
        || format!("members are: {members}"),
        |m| format!("did you mean '{m}'?"),
    ))]
    UnknownMember {
        name: String,
        /// The member that may have been meant.
        meant: Option<&'static str>,
        /// All members that a request may have.
        members: String,
    },
    /// The same variable twice: it is unclear which of the two counts.
    #[error("member '{0}' is given twice")]
    Twice(String),
    /// A value of another kind.
    #[error("'{member}' must be {expected}, not {found}")]
    Kind {
        member: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// No command, or one without a program.
    #[error("the command is empty")]
    NoCommand,
    /// A value that cannot be used.
    #[error("{what} cannot be used: {why}")]
    Value {
        /// What: "the callback 'x'".
        what: String,
        why: String,
    },
    /// A name that cannot become a file name.
    #[error("the {what} cannot be used: {name}")]
    Name {
        /// Whose name: "repository", "id".
        what: &'static str,
        name: BadName,
    },
}
