//! `token rotate`: new tokens for the daemon's HTTP side.

use strum::VariantNames;

use super::arguments::word_of;
use super::prelude::*;
use crate::audit::{Entry as AuditEntry, Trail};
use crate::daemon::{Role, rotate_token};
use crate::state::Word;

/// Make a new token, which counts at once; the old one counts no more
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct RotateTokens {
    /// Whose token: admin, viewer or all
    #[arg(value_name = "ROLE", default_value = "all", value_parser = word_of::<Holders>(Holders::VARIANTS.iter().copied()))]
    pub role: Holders,
}

/// Whose tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Holders {
    /// Of those who may do everything
    Admin,
    /// Of those who may look
    Viewer,
    /// Both
    All,
}

/// Where the tokens are.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form.
pub struct TokensRotated {
    pub tokens: Vec<TokenFile>,
    pub dry_run: bool,
}

/// Where a token is; never what it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct TokenFile {
    pub role: Word,
    pub file: String,
    pub rotated: bool,
}

impl Operation for RotateTokens {
    type Report = TokensRotated;

    const ENTRY: Entry = Entry::local(Method::Post, &["token", "rotate"]);

    fn run(&self, context: &mut Context<'_>) -> Result<Done<TokensRotated>, OperationError> {
        let dir = context.state_dir()?;
        let (actor, dry_run) = (context.actor(), context.is_dry_run());
        let is_meant = |role: &Role| match self.role {
            Holders::Admin => *role == Role::Admin,
            Holders::Viewer => *role == Role::Viewer,
            Holders::All => true,
        };
        let mut report = TokensRotated { tokens: Vec::new(), dry_run };
        for role in Role::ALL.into_iter().filter(is_meant) {
            if !dry_run {
                let trail = Trail::open(&dir)?;
                rotate_token(&dir, role)?;
                let (at, object) = (dir.clock.now(), format!("token:{}", role.as_str()));
                trail.record(&AuditEntry::done(at, &actor, "token rotate", object, String::new()))?;
            }
            let file = role.file(&dir).display().to_string();
            report.tokens.push(TokenFile { role: role.as_str().into(), file, rotated: !dry_run });
        }
        Ok(Done::all(report))
    }
}
