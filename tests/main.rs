//! The library from outside. One program: linking is most of what a change costs.
//!
//! `cargo test -p recovery --test suite locks::` runs a part. Tests run beside each other in one process, so none may
//! change what the process has (its environment, working directory, limits, file mode mask); what must runs in a
//! process of its own, as `supervise/` does.
#![allow(clippy::disallowed_methods)] // Tests make, damage and remove files of their own.

mod archive;
mod common;
mod daemon_loop;
mod durable;
mod identity;
mod import;
mod in_use;
mod incarnations;
mod job_verdicts;
mod layout;
mod layout_2;
mod locks;
mod log;
mod log_processes;
mod old_records;
mod prune;
mod queue;
mod queue_files;
mod queue_state;
mod recovery_sequence;
mod startup;
mod structure;
mod tree;
