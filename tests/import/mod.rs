//! Taking over the workspace of a crashed batch server, from outside: workspaces as that server, a crash
//! and people leave them.
#![allow(clippy::disallowed_methods)]

mod hostile;
mod killed;
mod odd;
mod outcomes;
mod processes;
mod workspace;
