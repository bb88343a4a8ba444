//! The terminal dashboard: what is wrong, what is happening, what to press.
//!
//! [`Model`] is the state, [`update`] changes it and returns effects, [`view::draw`] draws it and changes
//! nothing, [`run`] is the loop between them, the terminal and a [`Source`] that reads reports. A view is a
//! [`listing::Listing`] that a file in `panel/` makes from a report. Every action is a command of
//! recoveryctl, run by a [`Runner`].
//!
//! To add a view: a variant of [`View`], a file in `panel/`, an arm in `source/operations.rs`.

pub mod action;
pub mod key;
mod keyboard;
pub mod listing;
pub mod message;
pub mod model;
pub mod panel;
mod picture;
mod plain;
mod run;
mod source;
mod terminal;
mod text;
mod update;
pub mod view;
mod views;
mod watch;

pub use message::Trouble;
pub use model::{Model, Setting};
pub use picture::svg;
pub use plain::{picture, read_once, text_of};
pub use run::{End, Options, OwnRecovery, Runner, run};
pub use source::{Directory, OperationSource, Operator, Source};
pub use update::update;
pub use views::View;
pub use watch::Sources;
