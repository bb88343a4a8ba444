//! Cleanups and orphans with a real Docker engine of their own.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests make what is to be removed.

mod engine;
mod engine_killed;
mod found;
mod killed;
mod prune;
mod strangers;
