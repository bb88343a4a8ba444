//! The trash: `orphans/trash/<id>/what` is the removed thing, `note.json` beside it describes it. A process
//! may go on working in it, so its git work is judged again right before the deletion. Then it is renamed to
//! `going`, because what a crash leaves of it is incomplete and must not be judged.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::candidate::{Candidate, OrphanKind};
use super::log::{LogEntry, OrphanLog};
use super::scan::alone;
use super::scan_context::OrphanSettings;
use crate::archive::{ArchiveSource, CannotKeep, Judged, KeepRequest, keep_noted};
use crate::durable::log::LogError;
use crate::durable::tree::{
    TakeError, TreeIdentity, put_back, remove_tree, rename_to_delete, take_into_trash,
};
use crate::durable::{DiskError, IoContext, LockError, error_chain, read_optional, replace};
use crate::in_use::TrashInUse;
use crate::logging::events;
use crate::queue::Actor;
use crate::state::{StateDir, Timestamp};
use tracing::debug;

/// Something in the trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trashed {
    /// Its name in the trash: the candidate's id.
    pub id: String,
    /// What kind.
    pub kind: OrphanKind,
    /// What.
    pub object: String,
    /// Where it was.
    pub from: PathBuf,
    /// Which folder it is.
    pub identity: TreeIdentity,
    /// When it was removed.
    pub removed_at: Timestamp,
    /// By which plan.
    pub plan_id: String,
    /// Disk space in bytes.
    pub bytes: u64,
}

/// The file beside the removed thing.
#[derive(Debug, Serialize)]
struct Note<'a> {
    #[serde(flatten)]
    trashed: &'a Trashed,
    #[serde(flatten)]
    judged: &'a Judged,
}

impl Note<'_> {
    fn write(&self, dir: &StateDir) -> Result<(), DiskError> {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        replace(&dir.disk, &slot(dir, &self.trashed.id).join(NOTE), &text)
    }
}

/// Returns the note of the judgement of its git work.
fn judged(slot: &Path) -> Result<Judged, DiskError> {
    let text = read_optional(&slot.join(NOTE))?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default())
}

/// Why nothing was restored or deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrashError {
    /// The trash has no such entry.
    #[error("there is no '{id}' in the trash")]
    NotThere {
        /// The requested id.
        id: String,
    },
    /// Something exists at its former place.
    #[error("{} is there again: nothing was restored", path.display())]
    Taken {
        /// The place.
        path: PathBuf,
    },
    /// A lock could not be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

fn slot(dir: &StateDir, id: &str) -> PathBuf {
    dir.paths.orphans_trash().join(id)
}

/// The name of the note.
const NOTE: &str = "note.json";
/// The name of the removed thing.
const WHAT: &str = "what";
/// The name of the removed thing while it is deleted.
const GOING: &str = "going";

/// Keeps the git work of an orphan's folder; returns the note.
pub(super) fn keep_work(
    dir: &StateDir,
    settings: &OrphanSettings,
    candidate: &Candidate,
    folder: &Path,
) -> Result<Judged, CannotKeep> {
    keep_of(dir, settings, (&candidate.id, &candidate.object), (folder, None), &Judged::default())
}

/// Keeps the git work of an orphan by its id, its object, and the present and former path of its folder.
fn keep_of(
    dir: &StateDir,
    settings: &OrphanSettings,
    (id, object): (&str, &str),
    (folder, was): (&Path, Option<&Path>),
    before: &Judged,
) -> Result<Judged, CannotKeep> {
    let request = KeepRequest {
        folder,
        was,
        archive_id: &format!("orphan-{id}"),
        source: ArchiveSource::Orphan,
        object: object.to_owned(),
        rules: &settings.keep,
        stop: &|| false,
    };
    keep_noted(dir, &request, before).map(|(_, judged)| judged)
}

/// Keeps git work that was added in the trash, or whose archive is gone, and gives the folder the name under
/// which it is deleted.
fn going(dir: &StateDir, settings: &OrphanSettings, trashed: &Trashed) -> Result<PathBuf, CannotKeep> {
    let slot = slot(dir, &trashed.id);
    let (what, going) = (slot.join(WHAT), slot.join(GOING));
    let is_begun = what.symlink_metadata().is_err() || going.symlink_metadata().is_ok();
    let (folder, before) = (if is_begun { &going } else { &what }, judged(&slot)?);
    // Unchanged work is kept, or proven, already: from the trash, its links may lead nowhere.
    let holds =
        if is_begun { !before.lacks_an_archive(dir, folder)? } else { before.still_holds(dir, folder)? };
    if !holds {
        let named = (&*trashed.id, &*trashed.object);
        let judged = keep_of(dir, settings, named, (folder, Some(&trashed.from)), &before)?;
        // The note is written before the folder goes: the deletion may wait, and the archive may be gone by
        // then.
        Note { trashed, judged: &judged }.write(dir)?;
    }
    if !is_begun {
        rename_to_delete(&dir.disk, &what, &going)?;
    }
    Ok(going)
}

/// Moves a candidate's folder to the trash. The note is written first, so that the folder can always be
/// restored. Returns false when the folder was gone. Its git work was kept before.
pub(super) fn take(
    dir: &StateDir,
    candidate: &Candidate,
    path: &Path,
    identity: TreeIdentity,
    plan_id: &str,
    judged: &Judged,
) -> Result<bool, TakeError> {
    let slot = slot(dir, &candidate.id);
    dir.disk.ensure_dir(&dir.paths.orphans_trash())?;
    dir.disk.ensure_dir(&slot)?;
    let trashed = Trashed {
        id: candidate.id.clone(),
        kind: candidate.kind,
        object: candidate.object.clone(),
        from: path.to_owned(),
        identity,
        removed_at: dir.clock.now(),
        plan_id: plan_id.to_owned(),
        bytes: candidate.bytes,
    };
    Note { trashed: &trashed, judged }.write(dir)?;
    let taken = take_into_trash(&dir.disk, path, &slot.join(WHAT), identity);
    if !matches!(taken, Ok(true)) {
        // The slot holds nothing; readers ignore a note without a folder.
        remove_slot(dir, &slot);
    }
    taken
}

fn remove_slot(dir: &StateDir, slot: &Path) {
    if let Err(e) = remove_tree(&dir.disk, slot, &()) {
        debug!(event = events::TROUBLE, "the empty folder {} stays: {}", slot.display(), error_chain(&e));
    }
}

/// Returns the content of the trash, oldest first.
pub fn trashed(dir: &StateDir) -> Result<Vec<Trashed>, DiskError> {
    let folder = dir.paths.orphans_trash();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).context("list", &folder),
    };
    let mut found: Vec<Trashed> = Vec::new();
    let has = |slot: &Path| [WHAT, GOING].iter().any(|name| slot.join(name).symlink_metadata().is_ok());
    for entry in entries.flatten().filter(|e| has(&e.path())) {
        let note = read_optional(&entry.path().join(NOTE))?;
        found.extend(note.and_then(|bytes| serde_json::from_slice(&bytes).ok()));
    }
    found.sort_by(|a, b| (a.removed_at, &a.id).cmp(&(b.removed_at, &b.id)));
    Ok(found)
}

/// Moves something back to where it was, if nothing is there.
///
/// # Errors
/// [`TrashError`]; it is then still in the trash.
pub fn restore(dir: &StateDir, id: &str, actor: &Actor) -> Result<Trashed, TrashError> {
    let _alone = alone(dir)?;
    let found = trashed(dir)?.into_iter().find(|t| t.id == id);
    let found = found.ok_or_else(|| TrashError::NotThere { id: id.to_owned() })?;
    let slot = slot(dir, &found.id);
    // What is left of a folder whose deletion was begun is better than nothing.
    let name = if slot.join(WHAT).symlink_metadata().is_ok() { WHAT } else { GOING };
    match put_back(&dir.disk, &slot.join(name), &found.from) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(TrashError::Taken { path: found.from });
        }
        other => other?,
    }
    remove_slot(dir, &slot);
    OrphanLog::open(dir)?.enter(&[entry(dir, &found, "restored", actor, String::new())])?;
    Ok(found)
}

/// What became of one thing in the trash that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emptied {
    pub trashed: Trashed,
    /// How many bytes were freed.
    pub bytes: u64,
    /// Entries that could not be deleted, with the reason; they are still in the trash.
    pub left: Option<String>,
}

/// Deletes everything older than `trash_keep`, and then the oldest entries while there is more than
/// `trash_bytes`; also deletes those that are `chosen`.
pub fn empty_trash(
    dir: &StateDir,
    settings: &OrphanSettings,
    chosen: &[Trashed],
) -> Result<Vec<Emptied>, TrashError> {
    let _alone = alone(dir)?;
    empty(dir, settings, chosen)
}

/// As [`empty_trash`], for a caller that holds the orphans' lock.
pub(super) fn empty(
    dir: &StateDir,
    settings: &OrphanSettings,
    chosen: &[Trashed],
) -> Result<Vec<Emptied>, TrashError> {
    let (now, keep) = (dir.clock.now(), i64::try_from(settings.trash_keep.as_millis()).unwrap_or(i64::MAX));
    let all = trashed(dir)?;
    let mut kept: u64 = all.iter().map(|t| t.bytes).sum();
    let (mut emptied, mut in_use) = (Vec::new(), TrashInUse::new(dir));
    for trashed in all {
        let is_old = now.millis_since(trashed.removed_at) >= keep;
        let slot = slot(dir, &trashed.id);
        let is_begun = slot.join(GOING).symlink_metadata().is_ok();
        let is_chosen = chosen.iter().any(|chosen| chosen.id == trashed.id);
        if !(is_chosen || is_old || is_begun || kept > settings.trash_bytes) {
            continue;
        }
        if let Some(why) = in_use.why_kept(&slot.join(if is_begun { GOING } else { WHAT })) {
            OrphanLog::open(dir)?.enter(&[entry(dir, &trashed, "kept", &settings.actor, why.clone())])?;
            emptied.push(Emptied { trashed, bytes: 0, left: Some(why) });
            continue;
        }
        let going = match going(dir, settings, &trashed) {
            Ok(going) => going,
            Err(why) => {
                let left = format!("git work may be lost, so it stays: {why}");
                OrphanLog::open(dir)?.enter(&[entry(
                    dir,
                    &trashed,
                    "failed",
                    &settings.actor,
                    left.clone(),
                )])?;
                emptied.push(Emptied { trashed, bytes: 0, left: Some(left) });
                continue;
            }
        };
        // The folder goes first: a note alone is harmless, while a folder without its note could not be
        // explained.
        let removed = remove_tree(&dir.disk, &going, &())?;
        let is_complete = removed.is_complete();
        let left = (!is_complete).then(|| removed.kept_in_words(&slot));
        if is_complete && slot.join(WHAT).symlink_metadata().is_err() {
            remove_tree(&dir.disk, &slot, &())?;
            kept -= trashed.bytes;
        }
        let result = if is_complete { "emptied" } else { "failed" };
        let entry = LogEntry {
            bytes_freed: removed.bytes,
            ..entry(dir, &trashed, result, &settings.actor, left.clone().unwrap_or_default())
        };
        OrphanLog::open(dir)?.enter(&[entry])?;
        emptied.push(Emptied { trashed, bytes: removed.bytes, left });
    }
    Ok(emptied)
}

fn entry(dir: &StateDir, trashed: &Trashed, result: &str, actor: &Actor, detail: String) -> LogEntry {
    LogEntry {
        at: dir.clock.now(),
        plan_id: trashed.plan_id.clone(),
        id: trashed.id.clone(),
        kind: trashed.kind,
        object: trashed.object.clone(),
        result: result.to_owned(),
        bytes_freed: 0,
        detail,
        evidence: Vec::new(),
        by: actor.by.clone(),
        reason: actor.why.clone(),
    }
}
