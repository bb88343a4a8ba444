//! `orphans restore ID…`: what a removal moved into the trash goes back to where it was.

use crate::audit::{Entry as AuditEntry, Trail};
use crate::operations::jobs::ids::whole;
use crate::operations::prelude::*;
use crate::orphans::{self, TrashError, Trashed, trashed};
use crate::state::StateDir;

/// Move removed folders back to where they were
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct RestoreOrphans {
    /// The candidates' ids, as 'orphans candidates' shows them
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
}

/// What is back, and what is not.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form.
pub struct OrphansRestored {
    pub restored: Vec<RestoredOrphan>,
    pub refused: Vec<NotRestored>,
    pub dry_run: bool,
}

/// A folder that is back.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RestoredOrphan {
    pub id: String,
    pub object: String,
    pub path: String,
}

/// A folder that stays in the trash.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct NotRestored {
    pub id: String,
    pub detail: String,
}

impl Operation for RestoreOrphans {
    type Report = OrphansRestored;

    const ENTRY: Entry = Entry::local(Method::Post, &["orphans", "restore"]);

    fn run(&self, context: &mut Context<'_>) -> Result<Done<OrphansRestored>, OperationError> {
        let dir = context.state_dir()?;
        let (actor, dry_run) = (context.actor(), context.is_dry_run());
        let trail = if dry_run { None } else { Some(Trail::open(&dir)?) };
        let mut report = OrphansRestored { restored: Vec::new(), refused: Vec::new(), dry_run };
        let known: Vec<String> = trashed(&dir)?.into_iter().map(|t| t.id).collect();
        for id in &self.ids {
            let id = &whole(known.iter().map(String::as_str), id)?;
            let restored = match dry_run {
                true => would_restore(&dir, id),
                false => orphans::restore(&dir, id, &actor),
            };
            match restored {
                Ok(found) => {
                    let (object, path) = (found.object.clone(), found.from.display().to_string());
                    if let Some(trail) = &trail {
                        let (at, detail) = (dir.clock.now(), format!("to {path}"));
                        let action = "orphans restore";
                        trail.record(&AuditEntry::done(at, &actor, action, object.clone(), detail))?;
                    }
                    report.restored.push(RestoredOrphan { id: id.clone(), object, path });
                }
                Err(error) if self.ids.len() == 1 => return Err(error.into()),
                Err(error) => {
                    report.refused.push(NotRestored { id: id.clone(), detail: error.to_string() });
                }
            }
        }
        Ok(Done::complete_if(report.refused.is_empty(), report))
    }
}

/// What a restoration finds, without it.
fn would_restore(dir: &StateDir, id: &str) -> Result<Trashed, TrashError> {
    let found = trashed(dir)?.into_iter().find(|trashed| trashed.id == id);
    let found = found.ok_or_else(|| TrashError::NotThere { id: id.to_owned() })?;
    match found.from.symlink_metadata() {
        Ok(_) => Err(TrashError::Taken { path: found.from }),
        Err(_) => Ok(found),
    }
}
