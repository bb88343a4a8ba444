//! `token rotate`: new tokens for the daemon's HTTP side.

use clap::{Args, Subcommand};
use recovery::operations::tokens::{RotateTokens, TokensRotated};

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::{Show, operate};
use crate::text::Text;

/// Manage the tokens that clients of the daemon show
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    word: TokenWord,
}

#[derive(Debug, Subcommand)]
enum TokenWord {
    Rotate(RotateTokens),
}

pub(crate) fn cmd_token(context: &mut Context, args: &TokenArgs) -> Result<Ending, CliError> {
    let TokenWord::Rotate(request) = &args.word;
    operate(context, request)
}

impl Show for RotateTokens {
    fn show(&self, report: &TokensRotated, text: &mut Text) {
        for token in &report.tokens {
            let act = if report.dry_run { "would get a new token" } else { "has a new token" };
            text.line(format!("{} {act}, in {}", token.role, token.file));
        }
    }
}
