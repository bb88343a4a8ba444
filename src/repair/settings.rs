//! What to repair, and by whom.

use std::collections::BTreeSet;

use super::action::Part;
use crate::jobs::RecoverSettings;
use crate::webhooks::Settings as WebhookSettings;

/// What to repair, and by whom.
#[derive(Debug, Clone)]
pub struct RepairSettings {
    /// Which parts.
    pub parts: BTreeSet<Part>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Who acts, and by which limits jobs are judged.
    pub jobs: RecoverSettings,
    /// How long what was delivered is kept, and whom else to tell.
    pub webhooks: WebhookSettings,
}
