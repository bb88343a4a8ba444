//! The binary: command line in, text or JSON out; everything else is the library's.
//!
//! To add a command: a file in `command/` with `<Name>Args` and `cmd_<name>`, a variant and a line of the
//! match in `cli.rs`. A command takes what it needs from its [`context::Context`], shows its report with
//! [`output::Output::report`], and returns an [`error::Ending`] or a [`error::CliError`], which the edge
//! turns into an exit status.

mod actor;
mod cli;
mod command;
mod configuration;
mod context;
mod control_chars;
mod dashboard;
mod descriptors;
mod error;
mod globals;
mod host_end;
mod http;
mod internal;
mod interruption;
mod leave_job;
mod log;
mod masked;
mod notice;
mod operate;
mod output;
mod paint;
mod progress;
mod remote;
mod settings;
mod socket;
mod surroundings;
mod table;
mod text;
mod tui_recovery;
mod wire;

fn main() -> std::process::ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    // Supervisors handle signals in their own way: before anything else takes them over.
    internal::run(&arguments).unwrap_or_else(|| {
        surroundings::begin();
        cli::run(&arguments)
    })
}
