//! `completions SHELL`: a script that teaches a shell our words.

use clap::Args;
use clap_complete::Shell;
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Ending};

/// Print a completion script for a shell
///
/// For bash: recoveryctl completions bash > ~/.local/share/bash-completion/completions/recoveryctl
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// `definition` is the command line's.
pub(crate) fn cmd_completions(
    context: &mut Context,
    args: &CompletionsArgs,
    mut definition: clap::Command,
) -> Result<Ending, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut definition, "recoveryctl", &mut script);
    let script = String::from_utf8_lossy(&script);
    let report = json!({ "shell": args.shell.to_string(), "script": script });
    context.output.report(&report, |text| text.raw(&script));
    Ok(Ending::Done)
}
