//! Repository locks from outside, with real processes: every rule of the decision table, and many
//! contenders of which some are killed.
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // Child processes tell by printing.

mod bench;
mod contention;
mod damage;
mod other;
mod recovering;
mod release;
mod run_under;
mod table;
