//! The daemon's HTTP side, from outside: the built daemon, a client of a few lines, kill -9.
#![allow(clippy::disallowed_methods)] // Tests write their own files.
#![allow(unreachable_pub)] // One program of several files.

mod access;
pub mod client;
mod described;
mod documented;
mod endpoints;
mod events;
mod forwarded;
mod killed;
mod limits;
mod load;
mod metrics;
mod parity;
mod reload;
mod writes;
