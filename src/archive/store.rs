//! Lists, prunes and removes archives.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::note::{ArchiveSource, FORMAT, Note, Repository};
use crate::audit::Actor;
use crate::audit::{AuditError, Entry, Trail};
use crate::durable::tree::{TreeIdentity, measure_tree, remove_tree};
use crate::durable::{DiskError, IoContext, read_optional};
use crate::findings::Object;
use crate::state::{StateDir, Timestamp, human};

/// Its form on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveForm {
    /// One tar file.
    Tar,
    /// A folder of bundles and patches, as earlier versions made it.
    Bundles,
}

/// Git work that was kept of a folder that went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Archive {
    /// Its id.
    pub archive_id: String,
    /// Its form on disk.
    pub form: ArchiveForm,
    /// The file, or folder.
    pub path: PathBuf,
    /// What had the folder removed; null when that is not known.
    pub source: Option<ArchiveSource>,
    /// `job:ID`, or what else the folder was of.
    pub object: Option<String>,
    /// Where the folder was.
    pub folder: Option<PathBuf>,
    /// When it was made.
    pub made_at: Timestamp,
    /// Its size.
    pub bytes: u64,
    /// Files, folders and links in it; of the earlier form the number of files.
    pub entries: u64,
    /// What is kept of which repository, and why.
    pub repositories: Vec<Repository>,
}

/// Where a new archive goes.
pub(super) struct ArchivePlace {
    pub(super) archive_id: String,
    pub(super) file: PathBuf,
    pub(super) note: PathBuf,
}

/// Returns a free name: an existing archive stays, unless the new one replaces it.
pub(super) fn place_for(
    dir: &StateDir,
    wanted: &str,
    replaces: &dyn Fn(&Note) -> bool,
) -> Result<ArchivePlace, DiskError> {
    let folder = dir.paths.cleanup_archive();
    let mut number = 1;
    loop {
        let archive_id = if number == 1 { wanted.to_owned() } else { format!("{wanted}-{number}") };
        let file = folder.join(format!("{archive_id}.tar"));
        let note = folder.join(format!("{archive_id}.json"));
        let is_free =
            file.symlink_metadata().is_err() && folder.join(&archive_id).symlink_metadata().is_err();
        if is_free || read_note(&note)?.is_some_and(|note| replaces(&note)) {
            return Ok(ArchivePlace { archive_id, file, note });
        }
        number += 1;
    }
}

pub(super) fn read_note(path: &Path) -> Result<Option<Note>, DiskError> {
    // A pipe has no end.
    if !path.symlink_metadata().is_ok_and(|found| found.is_file()) {
        return Ok(None);
    }
    let note = read_optional(path)?.and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
    Ok(note.filter(|note| note.format == FORMAT))
}

/// Whether a complete archive of a folder exists, wherever the folder is by now.
pub(super) fn has_archive_of(
    dir: &StateDir,
    archive_id: &str,
    tree: TreeIdentity,
) -> Result<bool, DiskError> {
    let folder = dir.paths.cleanup_archive();
    let file = folder.join(format!("{archive_id}.tar"));
    let length = match file.symlink_metadata() {
        Ok(found) if found.is_file() => found.len(),
        Ok(_) => return Ok(false),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e).context("look at", &file),
    };
    let note = read_note(&folder.join(format!("{archive_id}.json")))?;
    // The archive of another folder may have got the same id since.
    Ok(note.is_some_and(|note| note.tree == Some(tree) && note.bytes == length))
}

/// Returns the content of the archive folders: archives with their descriptions, and folders of earlier
/// versions.
fn kept_files(dir: &StateDir) -> Result<Vec<PathBuf>, DiskError> {
    let mut found = Vec::new();
    for folder in [dir.paths.cleanup_archive(), dir.paths.orphans_archive()] {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e).context("list", &folder),
        };
        for entry in entries {
            found.push(entry.context("list", &folder)?.path());
        }
    }
    Ok(found)
}

/// Returns all archives, newest first.
pub fn archives(dir: &StateDir) -> Result<Vec<Archive>, DiskError> {
    let mut found = Vec::new();
    for path in kept_files(dir)? {
        found.extend(read(&path)?);
    }
    found.sort_by(|a, b| (b.made_at, &b.archive_id).cmp(&(a.made_at, &a.archive_id)));
    Ok(found)
}

/// Returns one archive by its id.
pub fn archive(dir: &StateDir, archive_id: &str) -> Result<Option<Archive>, DiskError> {
    Ok(archives(dir)?.into_iter().find(|archive| archive.archive_id == archive_id))
}

/// Reads the archive with a name in an archive folder; `None` for the files beside it.
fn read(path: &Path) -> Result<Option<Archive>, DiskError> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.'))
    else {
        return Ok(None);
    };
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).context("look at", path),
    };
    let made_at = found.modified().map(Timestamp::from).unwrap_or_default();
    if found.is_dir() {
        let size = measure_tree(path);
        let made_at = Timestamp::from_millis(size.newest_ms);
        let (bytes, entries) = (size.bytes, size.entries.saturating_sub(1));
        return Ok(Some(unnoted(name, ArchiveForm::Bundles, path, made_at, (bytes, entries))));
    }
    let Some(id) = name.strip_suffix(".tar").filter(|_| found.is_file()) else { return Ok(None) };
    let plain = unnoted(id, ArchiveForm::Tar, path, made_at, (found.len(), 0));
    Ok(Some(match read_note(&path.with_file_name(format!("{id}.json")))? {
        None => plain,
        Some(note) => Archive {
            source: Some(note.source),
            object: Some(note.object),
            folder: Some(note.folder),
            made_at: note.made_at,
            entries: note.entries,
            repositories: note.repositories,
            ..plain
        },
    }))
}

fn unnoted(
    id: &str,
    form: ArchiveForm,
    path: &Path,
    made_at: Timestamp,
    (bytes, entries): (u64, u64),
) -> Archive {
    Archive {
        archive_id: id.to_owned(),
        form,
        path: path.to_owned(),
        source: None,
        object: None,
        folder: None,
        made_at,
        bytes,
        entries,
        repositories: Vec::new(),
    }
}

/// Rules for which archives are kept; without a rule, all are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArchiveRetention {
    /// Archives that are not older than this are kept; milliseconds.
    pub keep_ms: Option<i64>,
    /// The newest archives are kept up to this many bytes.
    pub keep_bytes: Option<u64>,
}

/// The archives of a list (newest first) that no rule keeps, oldest first. Without any rule all stay. By
/// size, the newest is kept however large it is, and of the others those that fit in the rest.
pub(crate) fn outlived(archives: &[Archive], retention: ArchiveRetention, now: Timestamp) -> Vec<Archive> {
    if retention == ArchiveRetention::default() {
        return Vec::new();
    }
    let mut kept = 0u64;
    let mut gone = Vec::new();
    for (number, archive) in archives.iter().enumerate() {
        let is_young = retention.keep_ms.is_some_and(|keep| now.millis_since(archive.made_at) <= keep);
        let with_it = kept.saturating_add(archive.bytes);
        let fits = retention.keep_bytes.is_some_and(|keep| with_it <= keep || (number == 0 && keep > 0));
        if is_young || fits {
            kept = with_it;
        } else {
            gone.push(archive.clone());
        }
    }
    gone.reverse();
    gone
}

/// Removes an archive for good. A missing archive is no error.
pub fn remove(dir: &StateDir, archive: &Archive) -> Result<(), DiskError> {
    let folder = archive.path.parent().unwrap_or(&archive.path);
    if archive.form == ArchiveForm::Bundles {
        let removed = remove_tree(&dir.disk, &archive.path, &())?;
        let whole = removed.is_complete();
        let why = || std::io::Error::other("some of its files cannot be removed");
        return if whole { Ok(()) } else { Err(why()).context("remove", &archive.path) };
    }
    // The archive goes before its description: a description alone can still be listed.
    for path in [archive.path.clone(), folder.join(format!("{}.json", archive.archive_id))] {
        match dir.disk.remove_file(&path) {
            Err(e) if !e.is_not_found() => return Err(e),
            _ => {}
        }
    }
    dir.disk.sync_dir(folder)
}

/// How many archives there are, and their size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ArchiveTotals")]
pub struct Totals {
    /// How many.
    pub total: u64,
    /// Bytes in all.
    pub bytes: u64,
}

/// Adds up the archives without reading their descriptions.
pub(crate) fn totals(dir: &StateDir) -> Result<Totals, DiskError> {
    let mut totals = Totals::default();
    for path in kept_files(dir)? {
        let Ok(found) = path.symlink_metadata() else { continue };
        let bytes = match found.is_dir() {
            true => measure_tree(&path).bytes,
            false if path.extension().is_some_and(|e| e == "tar") => found.len(),
            false => continue,
        };
        totals = Totals { total: totals.total + 1, bytes: totals.bytes.saturating_add(bytes) };
    }
    Ok(totals)
}

/// Removes the archives that no rule keeps, each with its entry in the audit trail, and returns them.
///
/// # Errors
/// [`PruneError`]; the audit trail has those removed before.
pub(crate) fn prune(
    dir: &StateDir,
    retention: ArchiveRetention,
    actor: &Actor,
) -> Result<Vec<Archive>, PruneError> {
    if retention == ArchiveRetention::default() {
        return Ok(Vec::new());
    }
    let gone = outlived(&archives(dir)?, retention, dir.clock.now());
    gone.iter().try_for_each(|archive| remove_audited(dir, archive, actor))?;
    Ok(gone)
}

/// Removes one archive, with its entry in the audit trail.
pub(crate) fn remove_audited(dir: &StateDir, archive: &Archive, actor: &Actor) -> Result<(), PruneError> {
    let trail = Trail::open(dir)?;
    remove(dir, archive)?;
    let of = archive.object.as_deref().unwrap_or("an earlier version's");
    let detail = format!("{of}, {}, made at {}", human::size(archive.bytes), archive.made_at);
    let object = Object::Archive(archive.archive_id.to_string());
    trail.record(&Entry::done(dir.clock.now(), actor, "cleanup archive prune", object, detail))?;
    Ok(())
}

/// Why archives could not be removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The audit trail could not be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlived_by_age_and_by_size() {
        let made = |id: &str, age: i64, bytes| {
            unnoted(id, ArchiveForm::Tar, Path::new("x"), Timestamp::from_millis(1000 - age), (bytes, 1))
        };
        let all = [made("new", 0, 10), made("middle", 100, 10), made("old", 500, 10)];
        let gone = |retention| -> Vec<String> {
            let now = Timestamp::from_millis(1000);
            outlived(&all, retention, now).into_iter().map(|a| a.archive_id).collect()
        };
        assert!(gone(ArchiveRetention::default()).is_empty());
        assert_eq!(gone(ArchiveRetention { keep_ms: Some(100), keep_bytes: None }), ["old"]);
        assert_eq!(gone(ArchiveRetention { keep_ms: None, keep_bytes: Some(15) }), ["old", "middle"]);
        // A removed archive leaves its space to older ones, and the newest stays.
        assert_eq!(gone(ArchiveRetention { keep_ms: None, keep_bytes: Some(1) }), ["old", "middle"]);
        let large = [made("new", 0, 10), made("large", 100, 1000), made("old", 500, 10)];
        let room = ArchiveRetention { keep_ms: None, keep_bytes: Some(20) };
        let of_large = outlived(&large, room, Timestamp::from_millis(1000));
        assert_eq!(of_large.iter().map(|a| a.archive_id.as_str()).collect::<Vec<_>>(), ["large"]);
        assert_eq!(gone(ArchiveRetention { keep_ms: None, keep_bytes: Some(0) }), ["old", "middle", "new"]);
        // An archive that one rule keeps stays.
        assert!(gone(ArchiveRetention { keep_ms: Some(400), keep_bytes: Some(30) }).is_empty());
        assert_eq!(gone(ArchiveRetention { keep_ms: Some(100), keep_bytes: Some(1) }), ["old"]);
    }
}
