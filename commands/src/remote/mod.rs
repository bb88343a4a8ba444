//! `--url` and `--socket`: a command is given to a daemon, and what it writes comes back to this process's
//! streams; so does its exit status. The other end is `http/command.rs`.
//!
//! The dashboard asks for reports instead (`watched.rs`).
//!
//! Signals end this process, and with its connection the command at the other end.

mod connect;
mod forward;
mod watched;

pub(crate) use forward::forward;
pub(crate) use watched::WatchedDaemon;
