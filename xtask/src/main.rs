//! `cargo xtask …`: what developers run. See `cargo xtask --help`.

mod crash_lab;
mod picture;
mod real_binary;
mod shutdown;

use std::process::ExitCode;

use clap::Parser;

/// What developers run.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Proves that nothing is lost: every crash of every operation. Ends with a table.
    CrashLab(crash_lab::Arguments),
    /// Draws the picture in the README: a frame of the dashboard over a server that really crashed.
    Picture(picture::Arguments),
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(code) = recovery_lab::play(&arguments) {
        return code;
    }
    match Task::parse() {
        Task::CrashLab(arguments) => crash_lab::run(&arguments),
        Task::Picture(arguments) => picture::run(&arguments),
    }
}
