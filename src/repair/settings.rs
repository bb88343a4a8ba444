//! Settings of a repair.

use std::collections::BTreeSet;

use super::action::Part;
use crate::jobs::RecoverSettings;
use crate::webhooks::Settings as WebhookSettings;

/// Settings of a repair.
#[derive(Debug, Clone)]
pub struct RepairSettings {
    /// Which parts to repair.
    pub parts: BTreeSet<Part>,
    /// Whether only to say what would be done.
    pub dry_run: bool,
    /// The actor, and the limits for judging jobs.
    pub jobs: RecoverSettings,
    /// How long attempts of deliveries are kept, and the configured receivers.
    pub webhooks: WebhookSettings,
}
