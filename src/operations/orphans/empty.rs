//! `orphans empty-trash`: what could be restored is deleted for good.

use crate::audit::{Entry as AuditEntry, Trail};
use crate::operations::prelude::*;
use crate::operations::settings::scanning;
use crate::orphans::{Emptied, Trashed, empty_trash, trashed};
use crate::state::{StateDir, human};

plain_requests! {
    /// Delete what can be restored, and give its space back
    EmptyTrash;
}

/// What is gone for good.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form.
pub struct TrashEmptied {
    pub emptied: Vec<String>,
    /// What could not be deleted, and is still there.
    pub failed: Vec<NotEmptied>,
    pub bytes_freed: u64,
    pub dry_run: bool,
}

/// What is still there.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct NotEmptied {
    pub id: String,
    pub object: String,
    pub error: String,
}

impl Operation for EmptyTrash {
    type Report = TrashEmptied;

    const ENTRY: Entry = Entry::local(Method::Post, &["orphans", "empty-trash"]);

    fn run(&self, context: &mut Context<'_>) -> Result<Done<TrashEmptied>, OperationError> {
        let dir = context.state_dir()?;
        let waiting = trashed(&dir)?;
        let dry_run = context.is_dry_run();
        let emptied = match dry_run {
            true => waiting.into_iter().map(would_empty).collect(),
            false => empty(context, &dir, &waiting)?,
        };
        let bytes_freed = emptied.iter().map(|e| e.bytes).sum();
        let (failed, gone): (Vec<_>, Vec<_>) = emptied.into_iter().partition(|e| e.left.is_some());
        let not_emptied = |e: Emptied| NotEmptied {
            id: e.trashed.id,
            object: e.trashed.object,
            error: e.left.unwrap_or_default(),
        };
        let emptied = gone.into_iter().map(|e| e.trashed.object).collect();
        let failed: Vec<NotEmptied> = failed.into_iter().map(not_emptied).collect();
        let is_whole = failed.is_empty();
        Ok(Done::complete_if(is_whole, TrashEmptied { emptied, failed, bytes_freed, dry_run }))
    }
}

/// What is expected of a deletion; whether something withstands it is only known when it is done.
fn would_empty(trashed: Trashed) -> Emptied {
    Emptied { bytes: trashed.bytes, trashed, left: None }
}

/// Asks, and does it.
fn empty(
    context: &mut Context<'_>,
    dir: &StateDir,
    waiting: &[Trashed],
) -> Result<Vec<Emptied>, OperationError> {
    let settings = scanning(context);
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let bytes = human::size(waiting.iter().map(|t| t.bytes).sum());
    context.confirm(&format!("delete {} for good ({bytes})?", human::count(waiting.len(), "folder")))?;
    let (actor, trail) = (context.actor(), Trail::open(dir)?);
    // What has come into the trash since the question stays.
    let emptied = empty_trash(dir, &settings, waiting)?;
    let bytes_freed: u64 = emptied.iter().map(|e| e.bytes).sum();
    let failed = emptied.iter().filter(|e| e.left.is_some()).count();
    let detail = format!("{} deleted, {failed} not, {}", emptied.len() - failed, human::size(bytes_freed));
    let (at, object) = (dir.clock.now(), "trash".to_owned());
    trail.record(&AuditEntry::done(at, &actor, "orphans empty-trash", object, detail))?;
    Ok(emptied)
}
