//! `release REPO`: gives a repository's lock back in its holder's stead.

use serde_json::{Value, json};

use super::holders;
use crate::audit::{Entry as AuditEntry, Trail};
use crate::findings::Object;
use crate::locks::{LockRefused, ReleaseRefused, Released, inspect, release, would_release};
use crate::operations::prelude::*;
use crate::report::locks::ReleaseReport;
use crate::state::StateDir;

/// Give back the lock of a repository whose holder is gone
///
/// The lock of a living holder, or of one whose life cannot be told, needs --force, which says what it
/// breaks and asks.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct ReleaseLock {
    /// The repository
    #[arg(value_name = "REPO")]
    #[schemars(length(min = 1))]
    pub repo: String,
    /// Only this grant, never a successor's
    #[arg(long, value_name = "LOCK_ID")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Also when its holder is alive, or cannot be judged
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

impl Operation for ReleaseLock {
    type Report = ReleaseReport;

    const ENTRY: Entry =
        Entry::delete(&["release"], "/api/admin/locks/{repo}", "Gives a repository's lock back");

    fn run(&self, context: &mut Context<'_>) -> Result<Done<ReleaseReport>, OperationError> {
        let dir = context.state_dir()?;
        let holders = holders(context, &dir);
        let liveness = |id: &_, claim| holders.liveness(id, claim);
        let preview = would_release(&dir, &self.repo, self.id.as_deref(), self.force, &liveness)
            .map_err(|refused| self.named_if_own(refused, context, &dir))?;
        if context.is_dry_run() {
            let done = ReleaseReport::done(preview);
            return Ok(Done::all(ReleaseReport { released: false, dry_run: true, ..done }));
        }
        if preview.forced {
            preview.breaks.iter().for_each(|sentence| context.warn(sentence));
            context.confirm(&format!("give the lock of '{}' back all the same?", self.repo))?;
        }
        let trail = Trail::open(&dir)?;
        let actor = context.actor();
        // What was looked at, and perhaps agreed to, is this grant and no later one.
        let id = self.id.as_deref().or(preview.lock_id.as_deref());
        let released = match release(&dir, &self.repo, id, preview.forced, &actor, &liveness) {
            Ok(released) => released,
            Err(refused) => {
                if matches!(refused, ReleaseRefused::Disk(_) | ReleaseRefused::Lock(_)) {
                    trail.record(&entry(context, &dir, &preview).failed())?;
                }
                return Err(refused.into());
            }
        };
        trail.record(&entry(context, &dir, &released))?;
        Ok(Done::all(ReleaseReport::done(released)))
    }

    /// The grant that is there now.
    fn pin(&self, context: &mut Context<'_>) -> Value {
        let Ok(dir) = context.state_dir() else { return Value::Null };
        let holders = holders(context, &dir);
        let lock = inspect(&dir, &self.repo, &|id, claim| holders.liveness(id, claim));
        let lock = lock.map_err(LockRefused::from).ok().flatten();
        json!({ "lock_id": lock.and_then(|lock| lock.lock_id) })
    }

    fn run_pinned(
        &self,
        context: &mut Context<'_>,
        pinned: &Value,
        _is_repeated: bool,
    ) -> Result<Done<ReleaseReport>, OperationError> {
        let id = self.id.clone().or_else(|| pinned["lock_id"].as_str().map(str::to_owned));
        ReleaseLock { id, ..self.clone() }.run(context)
    }
}

impl ReleaseLock {
    /// A holder that asks for its own lock back is told that it is the holder.
    fn named_if_own(&self, refused: ReleaseRefused, context: &Context<'_>, dir: &StateDir) -> OperationError {
        let is_held = matches!(refused, ReleaseRefused::HeldByLiveOwner { .. });
        let caller = context.caller().filter(|_| is_held);
        let Some(holder) = caller.and_then(|caller| caller.is_inside(dir, &self.repo)) else {
            return refused.into();
        };
        let message = format!(
            "the lock of repository '{}' is held by {holder}, and this command runs inside it: it is given back when \
             that ends",
            self.repo
        );
        OperationError::new(ErrorKind::Held, message)
            .code("lock-held-by-caller")
            .hint("leave `recoveryctl release` out: who holds the lock gives it back by itself")
    }
}

fn entry(context: &Context<'_>, dir: &StateDir, released: &Released) -> AuditEntry {
    let id = released.lock_id.as_deref().unwrap_or("that cannot be told");
    let force = if released.forced { "by force; " } else { "" };
    let object = Object::lock(&released.repository);
    AuditEntry::done(dir.clock.now(), &context.actor(), "release", object, format!("{force}lock id {id}"))
        .with_evidence(released.evidence.clone())
}
