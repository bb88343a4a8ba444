//! `token rotate`: new tokens for the daemon's HTTP side.

use clap::{Args, Subcommand, ValueEnum};
use recovery::audit::{Entry, Trail};
use recovery::daemon::{Role, rotate_token};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending};

/// Manage the tokens that clients of the daemon show
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    word: TokenWord,
}

#[derive(Debug, Subcommand)]
enum TokenWord {
    Rotate(RotateArgs),
}

/// Make a new token, which counts at once; the old one counts no more
#[derive(Debug, Args)]
struct RotateArgs {
    /// Whose
    #[arg(value_enum, default_value = "all")]
    role: RoleWord,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleWord {
    /// Of those who may do everything
    Admin,
    /// Of those who may look
    Viewer,
    /// Both
    All,
}

#[derive(Debug, Serialize)]
struct TokenReport {
    tokens: Vec<TokenFile>,
    dry_run: bool,
}

/// Where a token is; never what it is.
#[derive(Debug, Serialize)]
struct TokenFile {
    role: &'static str,
    file: String,
    rotated: bool,
}

pub(crate) fn cmd_token(context: &mut Context, args: &TokenArgs) -> Result<Ending, CliError> {
    let TokenWord::Rotate(args) = &args.word;
    let dir = context.state_dir()?;
    let (actor, dry_run) = (context.actor(), context.is_dry_run());
    let wanted = |role: &Role| match args.role {
        RoleWord::Admin => *role == Role::Admin,
        RoleWord::Viewer => *role == Role::Viewer,
        RoleWord::All => true,
    };
    let mut report = TokenReport { tokens: Vec::new(), dry_run };
    for role in Role::ALL.into_iter().filter(wanted) {
        if !dry_run {
            let trail = Trail::open(&dir)?;
            rotate_token(&dir, role)?;
            let object = format!("token:{}", role.as_str());
            trail.record(&Entry::done(dir.clock.now(), &actor, "token rotate", object, String::new()))?;
        }
        let file = role.file(&dir).display().to_string();
        report.tokens.push(TokenFile { role: role.as_str(), file, rotated: !dry_run });
    }
    context.output.report(&report, |text| {
        for token in &report.tokens {
            let act = if dry_run { "would get a new token" } else { "has a new token" };
            text.line(format!("{} {act}, in {}", token.role, token.file));
        }
    });
    Ok(Ending::Done)
}
