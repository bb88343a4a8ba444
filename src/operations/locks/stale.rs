//! `locks detect-stale`: the locks whose holders are gone, and with `--release` gives them back.

use super::holders;
use crate::audit::{AuditError, Entry as AuditEntry, Trail};
use crate::findings::Object;
use crate::locks::{StaleLock, detect_stale, release_stale};
use crate::operations::prelude::*;
use crate::report::locks::StaleReport;

/// Find the locks whose holders are provably gone
///
/// What cannot be judged is named and never given back here: see `release --force`. Ends with 3 when a lock
/// that was to be given back was not.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct DetectStaleLocks {
    /// Give them back
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub release: bool,
}

impl Operation for DetectStaleLocks {
    type Report = StaleReport;

    const ENTRY: Entry = Entry::post(
        &["locks", "detect-stale"],
        "/api/admin/locks/detect-stale",
        "The locks whose holders are gone",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<StaleReport>, OperationError> {
        let dir = context.state_dir()?;
        let holders = holders(context, &dir);
        let liveness = |id: &_, claim| holders.liveness(id, claim);
        let mut found = detect_stale(&dir, &liveness)?;
        let dry_run = context.is_dry_run();
        if self.release && !dry_run && !found.stale.is_empty() {
            let trail = Trail::open(&dir)?;
            let actor = context.actor();
            let mut enter = |lock: &StaleLock| -> Result<(), AuditError> {
                let id = lock.lock_id.as_deref().unwrap_or("that cannot be told");
                let detail = format!("stale; lock id {id}");
                let object = Object::lock(&lock.repository);
                let entry = AuditEntry::done(dir.clock.now(), &actor, "release", object, detail);
                trail.record(&entry.with_evidence(lock.evidence.clone())).map(drop)
            };
            release_stale(&dir, &liveness, &mut found, &actor, &mut enter)?;
        }
        let report = StaleReport::new(found, dry_run);
        Ok(Done::complete_if(!report.is_incomplete(), report))
    }
}
