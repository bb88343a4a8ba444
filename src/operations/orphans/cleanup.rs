//! `orphans cleanup`: carries the plan out; each check is made anew right before each removal.

use crate::audit::{Entry as AuditEntry, Trail};
use crate::operations::arguments::orphan_kind;
use crate::operations::jobs::ids::whole;
use crate::operations::locks::holders;
use crate::operations::prelude::*;
use crate::operations::settings::scanning;
use crate::orphans::{OrphanKind, Request, execute, plan};
use crate::queue::Queue;
use crate::report::orphans::OrphansCleanup;
use crate::state::{StateDir, human};

/// Carry the plan out: each check is made anew right before each removal
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct CleanupOrphans {
    /// The plan; refused when there was another scan since [default: that of the last scan]
    #[arg(long = "plan", value_name = "ID")]
    #[schemars(required)]
    pub plan_id: Option<String>,
    /// Only these candidates
    #[arg(long = "id", value_name = "ID", num_args = 1..)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Only candidates of these kinds
    #[arg(long = "kind", value_name = "KIND", num_args = 1.., value_parser = orphan_kind)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<OrphanKind>,
}

impl Operation for CleanupOrphans {
    type Report = OrphansCleanup;

    const ENTRY: Entry = Entry::post(
        &["orphans", "cleanup"],
        "/api/admin/orphans/cleanup",
        "Carries a plan out, each check made anew",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<OrphansCleanup>, OperationError> {
        let dir = context.state_dir()?;
        let known = plan(&dir)?;
        let known = || known.iter().flat_map(|plan| plan.candidates.iter().map(|c| &*c.id));
        let ids = self.ids.iter().map(|id| whole(known(), id)).collect::<Result<Vec<String>, _>>()?;
        let (plan_id, kinds) = (self.plan_id.clone(), self.kinds.clone());
        let mut request = Request { plan_id, ids, kinds, dry_run: true };
        if context.is_dry_run() {
            return self.judged(carry_out(context, &dir, &request)?);
        }
        // What the operator agrees to is what the plan said when it was asked; it can only shrink after that.
        let saved = plan(&dir)?;
        request.plan_id = request.plan_id.or_else(|| saved.as_ref().map(|p| p.plan_id.clone()));
        request.dry_run = false;
        if let Some(plan) = saved.filter(|p| Some(&p.plan_id) == request.plan_id.as_ref()) {
            let meant = plan.candidates.iter().filter(|c| {
                c.safe
                    && (request.ids.is_empty() || request.ids.contains(&c.id))
                    && (request.kinds.is_empty() || request.kinds.contains(&c.kind))
            });
            let (count, bytes) = meant.fold((0, 0), |(n, bytes), c| (n + 1, bytes + c.bytes));
            if count > 0 {
                let orphans = human::count(count, "orphan");
                context.confirm(&format!("remove {orphans} ({})?", human::size(bytes)))?;
            }
        }
        let (actor, trail) = (context.actor(), Trail::open(&dir)?);
        let report = carry_out(context, &dir, &request)?;
        let (removed, refused, failed) = (report.removed.len(), report.refused.len(), report.failed.len());
        let detail = format!("{removed} removed, {refused} refused, {failed} failed");
        let (at, object) = (dir.clock.now(), format!("plan:{}", report.plan_id));
        trail.record(&AuditEntry::done(at, &actor, "orphans cleanup", object, detail))?;
        self.judged(report)
    }
}

impl CleanupOrphans {
    fn judged(&self, report: OrphansCleanup) -> Result<Done<OrphansCleanup>, OperationError> {
        // One that was named and is protected is a refusal, not a part of something done.
        if let ([only], [refused], []) =
            (self.ids.as_slice(), report.refused.as_slice(), report.removed.as_slice())
        {
            let message =
                format!("{only} ({}) is protected: {}: {}", refused.object, refused.check, refused.detail);
            return Err(OperationError::new(ErrorKind::Refused, message).code("orphan-protected"));
        }
        let is_whole = report.refused.is_empty() && report.failed.is_empty();
        Ok(Done::complete_if(is_whole, report))
    }
}

fn carry_out(
    context: &Context<'_>,
    dir: &StateDir,
    request: &Request,
) -> Result<OrphansCleanup, OperationError> {
    let settings = scanning(context);
    let mut queue = Queue::open(dir)?;
    let holders = holders(context, dir);
    let liveness = |id: &_, claim| holders.liveness(id, claim);
    let executed = execute(dir, &mut queue, &settings, &liveness, request, &mut |_, _| ())?;
    Ok(OrphansCleanup::new(&executed))
}
