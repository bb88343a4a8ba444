//! `jobs/.trash/`: removed jobs until they are deleted: the workspace, and beside it, as `attempts-…`, the
//! folder of attempts.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::archive::{ArchiveSource, KeepRequest, KeepRules, keep};
use crate::durable::tree::{remove_tree, rename_to_delete};
use crate::durable::{DiskError, IoContext, read_regular};
use crate::in_use::TrashInUse;
use crate::jobs::trash_slots::{ATTEMPTS, slot_names};
use crate::queue::QueueState;
use crate::state::StateDir;

/// Returns the existing slots, for [`slots_without_job`].
pub fn slots(dir: &StateDir) -> Result<Vec<PathBuf>, DiskError> {
    let folder = dir.paths.trash();
    let mut slots: Vec<PathBuf> = match std::fs::read_dir(&folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context("list", &folder)?.flatten().map(|e| e.path()).collect(),
    };
    slots.sort();
    Ok(slots)
}

/// The result of emptying the trash.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PruneTrashEmptied")]
pub struct TrashEmptied {
    /// Workspaces that are gone.
    pub emptied: u64,
    /// Room given back, bytes.
    pub bytes_freed: u64,
    /// Entries that stayed, with the reason: the next prune tries again.
    pub failed: Vec<(PathBuf, String)>,
}

/// Returns the slots whose job the queue does not know any more. The queue must have been followed after the
/// slots were listed: a slot appears before its job goes.
pub(crate) fn slots_without_job(listed: Vec<PathBuf>, state: &QueueState) -> Vec<PathBuf> {
    if listed.is_empty() {
        return listed;
    }
    let known: HashSet<String> = state.jobs().flat_map(slot_names).collect();
    let is_known = |slot: &Path| slot.file_name().and_then(|n| n.to_str()).is_some_and(|n| known.contains(n));
    listed.into_iter().filter(|slot| !is_known(slot)).collect()
}

/// A sentinel is not longer than this, in bytes.
const LONGEST: u64 = 1 << 20;
/// The prefix of a slot that is being deleted: its rest is not searched for git work again.
const GOING: &str = "going-";

/// Deletes slots of the trash that are [`slots_without_job`], workspaces before folders of attempts. Git work
/// in a slot (its cleanup was skipped, or the work came later) is kept first; anything in use stays.
pub fn delete_slots(dir: &StateDir, slots: &[PathBuf], rules: &KeepRules) -> Result<TrashEmptied, DiskError> {
    let mut emptied = TrashEmptied::default();
    if slots.is_empty() {
        return Ok(emptied);
    }
    let mut in_use = TrashInUse::new(dir);
    for slot in slots {
        if let Some(why) = in_use.why_kept(slot) {
            emptied.failed.push((slot.clone(), why));
            continue;
        }
        let going = match going(dir, slot, rules)? {
            Ok(going) => going,
            Err(why) => {
                emptied.failed.push((slot.clone(), why));
                continue;
            }
        };
        let removed = remove_tree(&dir.disk, &going, &())?;
        emptied.bytes_freed += removed.bytes;
        emptied.emptied += u64::from(removed.is_complete());
        emptied.failed.extend(removed.kept.into_iter().map(|kept| (going.join(kept.path), kept.why)));
    }
    Ok(emptied)
}

/// Returns the former path of a slot's workspace, which files in it may name. The queue does not know its job
/// any more, but its sentinel, in the other slot, does. In layout 2 the sentinel was in the workspace, so the
/// slot's name must confirm it.
fn was(dir: &StateDir, slot: &Path, name: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Sentinel {
        job_id: String,
    }
    let places = [slot.with_file_name(format!("{ATTEMPTS}{name}")), slot.to_owned()];
    let text = places.iter().find_map(|place| read_regular(&place.join("sentinel.json"), LONGEST).ok())?;
    let Sentinel { job_id } = serde_json::from_slice(&text).ok()?;
    let is_its = name.ends_with(&format!("-{:08x}", crc32fast::hash(job_id.as_bytes())));
    dir.paths.job(&job_id).ok().filter(|_| is_its).map(|paths| paths.workspace)
}

/// Renames a slot to the name under which it is deleted; returns the reason when it must stay.
fn going(dir: &StateDir, slot: &Path, rules: &KeepRules) -> Result<Result<PathBuf, String>, DiskError> {
    let Some(name) = slot.file_name().and_then(|name| name.to_str()) else {
        return Ok(Err("its name is none of ours".to_owned()));
    };
    if name.starts_with(GOING) {
        return Ok(Ok(slot.to_owned()));
    }
    let going = slot.with_file_name(format!("{GOING}{name}"));
    if let Some(workspace) = name.strip_prefix(ATTEMPTS) {
        if slot.with_file_name(workspace).symlink_metadata().is_ok() {
            return Ok(Err("its workspace is still there".to_owned()));
        }
        // Nothing in it belongs to the job.
        return rename_to_delete(&dir.disk, slot, &going).map(|()| Ok(going));
    }
    let was = was(dir, slot, name);
    let request = KeepRequest {
        folder: slot,
        was: was.as_deref(),
        archive_id: &format!("pruned-{name}"),
        source: ArchiveSource::Prune,
        object: format!("workspace:{name}"),
        rules,
        stop: &|| false,
    };
    if let Err(why) = keep(dir, &request) {
        return Ok(Err(why.to_string()));
    }
    rename_to_delete(&dir.disk, slot, &going).map(|()| Ok(going))
}
