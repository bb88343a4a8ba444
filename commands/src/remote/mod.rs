//! `--url` and `--socket`: a command is given to a daemon, and what it writes comes back to this process's
//! streams; so does its exit status. The other end is `http/command.rs`.
//!
//! Signals end this process, and with its connection the command at the other end.

mod connect;
mod forward;

pub(crate) use forward::forward;
