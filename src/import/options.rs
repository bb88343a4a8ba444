//! Options of an import.

use super::template::CommandTemplate;
use crate::queue::Actor;

/// Options of an import.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The template for the jobs' commands.
    pub template: CommandTemplate,
    /// Who requested the import.
    pub actor: Actor,
    /// Whether only to report.
    pub dry_run: bool,
}
