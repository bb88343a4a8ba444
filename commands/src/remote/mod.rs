//! `--url` and `--socket`: operations are carried out by a daemon. The request goes there, its report comes back and is
//! shown here. The other end is `http/command.rs`, what both say is `wire.rs`.
//!
//! Reads of the queue ask the daemon of the state directory itself, where one answers at once (`nearby.rs`).
//!
//! The dashboard asks for reports by `GET` instead (`watched.rs`).
//!
//! Signals end this process, and with its connection the operation at the other end.

mod connect;
mod nearby;
mod operation;
mod target;
mod watched;

pub(crate) use connect::Target;
pub(crate) use nearby::carry_out as carry_out_nearby;
pub(crate) use operation::carry_out;
pub(crate) use target::target;
pub(crate) use watched::WatchedDaemon;
