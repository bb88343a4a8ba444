//! Messages to the dashboard, and the effects that it requests.

use std::fmt;
use std::sync::Arc;

use recovery::recovery::Snapshot;
use recovery::state::Timestamp;

use crate::action::Action;
use crate::key::Key;
use crate::listing::{Document, Listing, Object};
use crate::panel::overview::Overview;
use crate::views::View;

/// A request to read something for the dashboard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ask {
    /// The overview.
    Overview,
    /// How far the recovery is; a cheap read.
    Progress,
    /// The list of a view other than the overview.
    List(View),
    /// The open object.
    Object(Object),
}

/// The result of reading.
#[derive(Clone)]
pub enum Answer {
    /// See [`Ask::Overview`].
    Overview(Arc<Overview>),
    /// See [`Ask::Progress`].
    Progress(Option<Arc<Snapshot>>),
    /// See [`Ask::List`].
    List(View, Arc<dyn Listing>),
    /// See [`Ask::Object`].
    Object(Object, Arc<dyn Document>),
}

/// Why something could not be read, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The reason why a requested thing cannot be shown.
    NotRead(String),
    /// The source does not answer: the screen shows the last answer.
    Unreachable(String),
}

impl<T: Into<String>> From<T> for Trouble {
    fn from(why: T) -> Trouble {
        Trouble::NotRead(why.into())
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit status.
    pub status: i32,
    /// Its output, both streams.
    pub text: String,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The result may be long.
        match self {
            Answer::Overview(overview) => write!(f, "Overview({} lines)", overview.len()),
            Answer::Progress(snapshot) => write!(f, "Progress({:?})", snapshot.as_ref().map(|s| s.outcome)),
            Answer::List(view, list) => write!(f, "List({view:?}, {} lines)", list.len()),
            Answer::Object(object, _) => write!(f, "Object({object:?})"),
        }
    }
}

/// An event.
#[derive(Clone, Debug)]
pub enum Message {
    /// A key was pressed.
    Key(Key),
    /// Text was pasted.
    Paste(String),
    /// The wheel was turned: up or down.
    Wheel(bool),
    /// A line was clicked, counted from the top of the screen.
    Click(u16),
    /// The terminal has this size now: columns, rows.
    Size(u16, u16),
    /// The present time.
    Time(Timestamp),
    /// Something was read.
    Answer(Answer),
    /// Something could not be read.
    Trouble(Ask, Trouble),
    /// The result of a rehearsal of a command.
    Rehearsed(Vec<String>, Ran),
    /// A command ended.
    Acted(Action, Ran),
    /// The recovery of this process sends no snapshots any more.
    RecoveryGone,
    /// The terminal is gone.
    Lost,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Read everything that is on the screen anew.
    Refresh,
    /// Run a command with `--dry-run`.
    Rehearse(Action),
    /// Run a command that was confirmed, with this reason for the audit trail.
    Act(Action, Option<String>),
    /// End the recovery of this process.
    CancelRecovery,
    /// Tell the terminal to send the mouse's events, or not.
    Mouse(bool),
    /// Leave.
    Quit,
}
