//! The binary: command line in, text or JSON out; everything else is the library's.
//!
//! To add a command: a file in `command/` with `<Name>Args` and `cmd_<name>`, a variant and a line of the
//! match in `cli.rs`. A command takes what it needs from its [`context::Context`], shows its report with
//! [`output::Output::report`], and returns an [`error::Ending`] or a [`error::CliError`], which the edge
//! turns into an exit status.

#![allow(dead_code)] // The frame offers more than each command takes.

mod actor;
mod cli;
mod command;
mod configuration;
mod context;
mod error;
mod interruption;
mod output;
mod paint;
mod table;
mod text;

fn main() -> std::process::ExitCode {
    cli::run(std::env::args_os().collect())
}
