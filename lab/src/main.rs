//! Plays the processes of the laboratory's operations; see `cargo xtask crash-lab`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    recovery_lab::play(&arguments).unwrap_or(ExitCode::from(2))
}
