//! `startup clear`: says that a crash loop is over.

use crate::audit::{Entry as AuditEntry, Trail};
use crate::findings::Object;
use crate::operations::prelude::*;
use crate::startup::{clear, safe_mode};

plain_requests! {
    /// Say that a crash loop is over: the daemon recovers and starts jobs again
    ClearStartup;
}

/// What a clearing did.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StartupCleared")]
#[allow(missing_docs)] // The members are the published form.
pub struct ClearReport {
    /// Whether there was a crash loop.
    pub was_safe_mode: bool,
    /// The startups that had died.
    pub because: Vec<String>,
    pub cleared: bool,
    pub dry_run: bool,
}

impl Operation for ClearStartup {
    type Report = ClearReport;

    const ENTRY: Entry =
        Entry::post(&["startup", "clear"], "/api/admin/startup/clear", "Says that a crash loop is over")
            .while_recovering();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<ClearReport>, OperationError> {
        let dir = context.state_dir()?;
        let safe = safe_mode(&dir)?;
        let because = safe.iter().flat_map(|s| &s.because).map(|e| e.startup_id.clone()).collect();
        let dry_run = context.is_dry_run();
        if !dry_run {
            let (trail, actor) = (Trail::open(&dir)?, context.actor());
            clear(&dir, &actor.by, actor.why.as_deref())?;
            let detail = if safe.is_some() { "safe mode ends" } else { "there was no safe mode" };
            let (at, object) = (dir.clock.now(), Object::Startups);
            trail.record(&AuditEntry::done(at, &actor, "startup clear", object, detail.to_owned()))?;
        }
        Ok(Done::all(ClearReport { was_safe_mode: safe.is_some(), because, cleared: !dry_run, dry_run }))
    }
}
