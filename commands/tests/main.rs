//! The built binary from outside. One program: linking is most of what a change costs.
//!
//! `cargo test -p recoveryctl --test suite http::` runs a part. Tests run beside each other in one process, so none may
//! change what the process has (its environment, working directory, limits, file mode mask): such things are set for
//! the commands that a test starts.
#![allow(clippy::disallowed_methods)] // Tests make, damage and remove files of their own.

mod agreement;
mod attempts;
mod audit;
mod cleanup;
mod common;
mod config;
mod contrib;
mod crash;
mod demo;
mod docker;
mod door;
mod ends;
mod explain;
mod findings;
mod git_work;
mod globals;
mod host;
mod hostile;
mod http;
mod import;
mod in_use;
mod incarnations;
mod init;
mod jobs;
mod lab;
mod line;
mod locks;
mod log;
mod monitor;
mod orphans;
mod printing;
mod promises;
mod prune;
mod queue;
mod reconstruction;
mod records;
mod recovery;
mod repair;
mod resume;
mod skip;
mod status;
mod submit;
mod surroundings;
mod texts;
mod truth;
mod tui;
mod under_lock;
mod web;
mod webhooks;
mod work;
