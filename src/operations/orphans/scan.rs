//! `scan`: looks for damage and orphans, and saves the plan.

use crate::findings::{Finding, Object, catalogue};
use crate::operations::arguments::orphan_kind;
use crate::operations::locks::holders;
use crate::operations::prelude::*;
use crate::operations::settings::scanning;
use crate::operations::status::status_of;
use crate::orphans::{OrphanKind, OrphanPlan, ScanContext, plan, rehearse, scan};
use crate::queue::Queue;
use crate::report::cleanup::CleanupState;
use crate::report::orphans::ScanReport;
use crate::report::page::Page;
use crate::report::queue::findings;
use crate::state::StateDir;

/// Look for damage and orphans; change nothing but the saved plan
///
/// Every candidate is in the plan with its checks: see 'orphans candidates'. One scan at a time. With --dry-run
/// neither the plan nor the textfile is written.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct ScanOrphans {
    /// Only orphans of this kind; may be given several times
    #[arg(long = "kind", value_name = "KIND", value_parser = orphan_kind)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<OrphanKind>,
    /// Tell only what the scan before did not find, and nothing when there is nothing
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_changes: bool,
}

impl Operation for ScanOrphans {
    type Report = ScanReport;

    const ENTRY: Entry =
        Entry::post(&["scan"], "/api/admin/orphans/scan", "Looks for damage and orphans, and saves the plan");

    fn run(&self, context: &mut Context<'_>) -> Result<Done<ScanReport>, OperationError> {
        let dir = context.state_dir()?;
        let before = if self.only_changes { plan(&dir)? } else { None };
        let found = make_plan(context, &dir, &self.kinds)?;
        let before = before.as_ref().map(OrphanPlan::told).unwrap_or_default();
        let before = self.only_changes.then_some(&before);
        Ok(Done::all(ScanReport::new(&found, before, context.is_dry_run())))
    }
}

/// Scans, and saves the plan; a dry run saves nothing.
fn make_plan(
    context: &mut Context<'_>,
    dir: &StateDir,
    kinds: &[OrphanKind],
) -> Result<OrphanPlan, OperationError> {
    let settings = scanning(context);
    let queue = Queue::open(dir)?;
    let holders = holders(context, dir);
    let liveness = |id: &_, claim| holders.liveness(id, claim);
    let mut damage = findings(queue.replayed());
    damage.extend(CleanupState::read(dir, &Page::default())?.findings);
    // What else cannot be used, or is lost: as the status tells it.
    let known: Vec<(String, Object)> =
        damage.iter().map(|f| (f.code.to_string(), f.object.clone())).collect();
    let is_new = |f: &Finding| !known.contains(&(f.code.to_string(), f.object.clone()));
    let of_files = |f: &Finding| f.tells_of_loss() || f.code == catalogue::LOCK_UNAVAILABLE.code;
    damage.extend(status_of(context)?.findings.into_iter().filter(|f| of_files(f) && is_new(f)));
    let look = ScanContext::look(dir, &settings, &queue)?;
    let make = if context.is_dry_run() { rehearse } else { scan };
    Ok(make(&look, &liveness, kinds, damage)?)
}
