//! `demo`: a real crash and a real recovery in a temporary directory, with a report that can fail.
//!
//! [`cast`] says which jobs there are and how each must end; [`stage`] runs daemons and jobs; [`crash`] kills
//! and damages; [`facts`] is what was seen; [`check`] judges the facts and nothing else, so that its tests
//! can feed it wrong ones; [`render`] shows them.

mod act;
mod cast;
mod check;
mod crash;
mod facts;
mod render;
mod report;
mod stage;

pub(crate) use act::{DemoArgs, cmd_demo};
