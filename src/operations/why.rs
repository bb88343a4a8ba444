//! `why OBJECT`: every piece of evidence behind a verdict.

use super::jobs::ids::{find_or_lost, whole};
use super::locks::{holders, no_such_lock};
use super::prelude::*;
use super::settings::{judging, scanning};
use crate::locks::{LockRefused, inspect};
use crate::orphans::{Asked, OrphanKind, ScanContext, explain, plan};
use crate::repair::would_repair_lock;
use crate::report::why_job::WhyJob;
use crate::report::why_lock::WhyLock;
use crate::report::why_orphan::WhyOrphan;

/// Show every piece of evidence behind a verdict
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct WhyRequest {
    /// What about: job:ID, lock:REPO, orphan:ID of the last scan, or container:NAME, network:NAME, …
    #[arg(value_name = "OBJECT")]
    #[schemars(regex(pattern = r"^(job|lock):[^/\u0000-\u001f\u007f-\u009f]+$"))]
    pub object: String,
}

/// The evidence, by the kind of object.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Why {
    Job(Box<WhyJob>),
    Lock(Box<WhyLock>),
    Orphan(Box<WhyOrphan>),
}

impl Operation for WhyRequest {
    type Report = Why;

    const ENTRY: Entry = Entry::get(&["why"], "/api/admin/why", "Every piece of evidence behind a verdict");

    fn run(&self, context: &mut Context<'_>) -> Result<Done<Why>, OperationError> {
        let object = self.object.as_str();
        Ok(Done::all(match object.split_once(':') {
            Some(("job", id)) => Why::Job(Box::new(why_job(context, id)?)),
            Some(("lock", repository)) => Why::Lock(Box::new(why_lock(context, repository)?)),
            Some(("orphan", id)) => Why::Orphan(Box::new(why_orphan(context, object, Asked::Candidate(id))?)),
            Some((word, name)) if let Some(kind) = OrphanKind::of(word) => {
                Why::Orphan(Box::new(why_orphan(context, object, Asked::Object(kind, name))?))
            }
            _ => return Err(no_verdict(object)),
        }))
    }
}

fn why_job(context: &mut Context<'_>, id: &str) -> Result<WhyJob, OperationError> {
    let dir = context.state_dir()?;
    let settings = judging(context);
    let queue = context.queue_to_look(&dir)?;
    let job = find_or_lost(&dir, queue.state(), id)?;
    Ok(WhyJob::of(&dir, queue.state(), job, &settings))
}

fn why_lock(context: &mut Context<'_>, repository: &str) -> Result<WhyLock, OperationError> {
    let dir = context.state_dir()?;
    let holders = holders(context, &dir);
    let info = inspect(&dir, repository, &|id, claim| holders.liveness(id, claim))
        .map_err(LockRefused::from)?
        .ok_or_else(|| no_such_lock(repository))?;
    let repair = would_repair_lock(&dir, &judging(context), repository)?;
    let queue = context.queue_to_look(&dir)?;
    Ok(WhyLock::of(&dir, info, queue.state(), repair)?)
}

fn why_orphan(
    context: &mut Context<'_>,
    object: &str,
    asked: Asked<'_>,
) -> Result<WhyOrphan, OperationError> {
    let dir = context.state_dir()?;
    let settings = scanning(context);
    let holders = holders(context, &dir);
    let queue = context.queue_to_look(&dir)?;
    let scan = ScanContext::look(&dir, &settings, &queue)?;
    let known = plan(&dir)?;
    let ids = known.iter().flat_map(|plan| plan.candidates.iter().map(|c| &*c.id));
    let whole_id = match asked {
        Asked::Candidate(id) => Some(whole(ids, id)?),
        Asked::Object(..) => None,
    };
    let asked = whole_id.as_deref().map_or(asked, Asked::Candidate);
    let explained = explain(&scan, &|id, claim| holders.liveness(id, claim), asked)?;
    let name = match asked {
        Asked::Candidate(id) => id,
        Asked::Object(..) => object,
    };
    match explained {
        Some(explained) => Ok(WhyOrphan::new(&dir, &explained)),
        None => WhyOrphan::of_removed(&dir, name).ok_or_else(|| no_such_orphan(object, asked)),
    }
}

fn no_such_orphan(object: &str, asked: Asked<'_>) -> OperationError {
    let where_looked = match asked {
        Asked::Candidate(_) => "the last scan has no such candidate",
        Asked::Object(..) => "neither the last scan nor the Docker engine names it",
    };
    let message = format!("nothing is known of '{object}': {where_looked}");
    OperationError::new(ErrorKind::NotFound, message)
        .code("no-such-orphan")
        .hint("recoveryctl scan")
        .hint("recoveryctl orphans candidates")
}

fn no_verdict(object: &str) -> OperationError {
    OperationError::new(ErrorKind::Usage, format!("'{object}' is no object with a verdict"))
        .code("unknown-object")
        .hint("recoveryctl why job:ID")
        .hint("recoveryctl why lock:REPO")
        .hint("recoveryctl why orphan:ID")
        .hint("recoveryctl orphans candidates")
        .hint("recoveryctl why container:NAME")
}
