//! How to import.

use super::template::CommandTemplate;
use crate::queue::Actor;

/// How to import.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The command of the jobs.
    pub template: CommandTemplate,
    /// Who asked for it.
    pub actor: Actor,
    /// Only report.
    pub dry_run: bool,
}
