//! Opens a state directory whose `state.json` was lost or damaged, and rewrites that file.
//!
//! The id is in the first line of every segment of the queue log and the audit log, and of every snapshot of the
//! queue. If files of several state directories were mixed, the id that most files have is used; readers ignore
//! the other files.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use uuid::Uuid;

use super::directory::{LOCK_WAIT, StateDir, entries};
use super::error::StateError;
use super::folder_id::FolderRecord;
use super::identity::Identity;
use super::paths::StatePaths;
use crate::durable::{Disk, FileLock, IoContext, Quarantine, log};
use crate::system::clock::{Clock, Timestamp};

/// The longest first line that is read, in bytes; real ones have about 200.
const LONGEST_FIRST_LINE: u64 = 4096;

/// The repair of `state.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRepair {
    /// Where the damaged file was put; `None` when there was no file at all.
    pub quarantined: Option<PathBuf>,
    /// A file with the id; `None` when no file had one and a new id was made.
    pub source: Option<PathBuf>,
}

impl StateDir {
    /// As [`StateDir::open`], but repairs what keeps it from being opened: `state.json` and missing folders.
    ///
    /// # Errors
    /// [`StateError::Missing`] when there is no state at all; see [`StateError`].
    pub fn open_for_repair(
        root: &Path,
        disk: Disk,
        clock: Clock,
    ) -> Result<(StateDir, Option<IdentityRepair>), StateError> {
        let repair = match StateDir::open(root, disk.clone(), clock.clone()) {
            Ok(dir) if is_contradicted(&dir.paths, &dir.identity) => rebuild_identity(root, &disk, &clock)?,
            Ok(_) => None,
            Err(StateError::Damaged { .. } | StateError::IdentityLost { .. }) => {
                rebuild_identity(root, &disk, &clock)?
            }
            Err(other) => return Err(other),
        };
        let dir = StateDir::open(root, disk, clock)?;
        for folder in dir.paths.folders().iter().filter(|folder| !folder.is_dir()) {
            dir.disk.ensure_dir(folder)?;
        }
        Ok((dir, repair))
    }
}

fn rebuild_identity(root: &Path, disk: &Disk, clock: &Clock) -> Result<Option<IdentityRepair>, StateError> {
    let paths = StatePaths::new(std::path::absolute(root).context("find the path of", root)?);
    let _mending = FileLock::acquire(disk, &paths.state_lock(), LOCK_WAIT)?;
    let now = clock.now();
    let damage = match Identity::read(&paths.identity()) {
        Ok(Some(identity)) if is_contradicted(&paths, &identity) => {
            Some(format!("no other file bears its id, {}, and all bear another", identity.state_id))
        }
        Ok(Some(_)) => return Ok(None), // Another process repaired it first.
        Ok(None) => None,
        Err(StateError::Damaged { source, .. }) => Some(source.to_string()),
        Err(other) => return Err(other),
    };
    let quarantine = Quarantine::new(disk.clone(), paths.quarantine());
    let keep = |why: String| match paths.identity().is_dir() {
        true => quarantine.take_other(&paths.identity(), &why, &now.to_string()),
        false => quarantine.keep_file(&paths.identity(), &why, &now.to_string()),
    };
    let quarantined = damage.map(keep).transpose()?;
    let (identity, source) = match most_frequent(first_lines(&paths)?) {
        Some((state_id, path, since)) => {
            let created_at = since.unwrap_or(now);
            let incarnation = last_incarnation(&paths, state_id);
            // The layout is lost too, so files may still be in the places of an earlier one.
            let identity = Identity { state_id, created_at, incarnation, ..Identity::new(now) };
            (Identity { moving_attempts: true, ..identity }, Some(path))
        }
        None => (Identity::new(now), None),
    };
    identity.write(disk, &paths.identity())?;
    Ok(Some(IdentityRepair { quarantined, source }))
}

/// The incarnation in the folder's record; without a record, the first.
fn last_incarnation(paths: &StatePaths, state_id: Uuid) -> u64 {
    let record = FolderRecord::read(&paths.place()).filter(|record| record.state_id == state_id);
    record.map_or(1, |record| record.incarnation)
}

/// Whether all files have one id and it is not this one: otherwise one changed digit in `state.json` would make
/// all of them foreign, and the whole log would be left out.
fn is_contradicted(paths: &StatePaths, identity: &Identity) -> bool {
    // When not all files can be read, no contradiction is certain. The code that needs the folder reports that it
    // cannot be read.
    let Ok(lines) = first_lines(paths) else { return false };
    let mut ids = lines.into_iter().map(|(_, line)| line.state_id);
    let Some(first) = ids.next() else { return false };
    first != identity.state_id && ids.all(|id| id == first)
}

/// The members that the first lines of all logs share.
#[derive(Debug, Deserialize)]
struct FirstLine {
    state_id: Uuid,
    #[serde(default, alias = "taken_at")]
    created_at: Option<Timestamp>,
}

/// A file and its first line, for every file that has one that can be read.
fn first_lines(paths: &StatePaths) -> Result<Vec<(PathBuf, FirstLine)>, StateError> {
    let mut found = Vec::new();
    for folder in [paths.queue_log(), paths.queue(), paths.audit_log(), paths.startup_log()] {
        for name in entries(&folder)? {
            let path = folder.join(name);
            if let Some(line) = first_line(&path) {
                found.push((path, line));
            }
        }
    }
    Ok(found)
}

fn first_line(path: &Path) -> Option<FirstLine> {
    let mut start = Vec::new();
    crate::durable::plain::open(path).ok()?.take(LONGEST_FIRST_LINE).read_to_end(&mut start).ok()?;
    let frame = log::decode(&start).filter(|frame| frame.seq == 0)?;
    serde_json::from_slice(frame.payload).ok()
}

/// The id that most files have, one of these files, and the earliest time in them.
fn most_frequent(lines: Vec<(PathBuf, FirstLine)>) -> Option<(Uuid, PathBuf, Option<Timestamp>)> {
    let mut by_id: BTreeMap<Uuid, Vec<(PathBuf, FirstLine)>> = BTreeMap::new();
    for (path, line) in lines {
        by_id.entry(line.state_id).or_default().push((path, line));
    }
    let (id, files) = by_id.into_iter().max_by_key(|(_, files)| files.len())?;
    let since = files.iter().filter_map(|(_, line)| line.created_at).min();
    let (path, _) = files.into_iter().next()?;
    Some((id, path, since))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use std::fs;

    use super::*;

    fn repair(root: &Path) -> Result<(StateDir, Option<IdentityRepair>), StateError> {
        StateDir::open_for_repair(root, Disk::real(), Clock::system())
    }

    fn made() -> (tempfile::TempDir, StateDir) {
        let temporary = tempfile::tempdir().unwrap();
        let dir =
            StateDir::open_or_create(&temporary.path().join("state"), Disk::real(), Clock::system()).unwrap();
        (temporary, dir)
    }

    /// Writes a file with the first line that every log has.
    fn begin_log(path: &Path, state_id: Uuid, at: &str) {
        let mut content = Vec::new();
        let header = format!(r#"{{"version":1,"state_id":"{state_id}","created_at":"{at}"}}"#);
        log::encode(&mut content, 0, header.as_bytes());
        content.extend_from_slice(b"damaged from here on");
        fs::write(path, content).unwrap();
    }

    #[test]
    fn repair_takes_id_from_log() {
        for damage in [None, Some(""), Some("{\"layout\":1,\"sta")] {
            let (_temporary, dir) = made();
            let id = dir.identity.state_id;
            let log = dir.paths.queue_log();
            begin_log(&log.join("1.log"), id, "2026-03-01T09:30:00.000Z");
            begin_log(&log.join("2.log"), id, "2026-03-02T09:30:00.000Z");
            begin_log(&log.join("0.log"), Uuid::now_v7(), "2020-01-01T00:00:00.000Z");
            fs::write(log.join("3.log"), "garbage").unwrap();
            fs::remove_file(dir.paths.identity()).unwrap();
            if let Some(content) = damage {
                fs::write(dir.paths.identity(), content).unwrap();
            }
            let (repaired, repair_done) = repair(dir.paths.root()).unwrap();
            let repair_done = repair_done.unwrap();
            assert_eq!(repaired.identity.state_id, id);
            assert_eq!(repaired.identity.created_at.to_string(), "2026-03-01T09:30:00.000Z");
            assert!(repair_done.source.is_some());
            assert_eq!(repair_done.quarantined.is_some(), damage.is_some());
            assert_eq!(dir.quarantine().notes().len(), usize::from(damage.is_some()));
            assert_eq!(repair(dir.paths.root()).unwrap().1, None);
        }
    }

    #[test]
    fn repair_without_witness_makes_new_id() {
        let (_temporary, dir) = made();
        fs::write(dir.paths.jobs().join("a.job.json"), "{}").unwrap();
        fs::remove_file(dir.paths.identity()).unwrap();
        let (repaired, done) = repair(dir.paths.root()).unwrap();
        assert_ne!(repaired.identity.state_id, dir.identity.state_id);
        assert_eq!(done, Some(IdentityRepair { quarantined: None, source: None }));
    }

    #[test]
    fn repair_restores_missing_folders() {
        let (temporary, dir) = made();
        fs::remove_dir(dir.paths.locks()).unwrap();
        repair(dir.paths.root()).unwrap();
        assert!(dir.paths.locks().is_dir());
        let nothing = temporary.path().join("nothing");
        assert!(matches!(repair(&nothing), Err(StateError::Missing { .. })));
        assert!(!nothing.exists());
    }

    /// With one digit of the id changed the file could once still be read, and the log was left out as a foreign
    /// one.
    #[test]
    fn repair_rejects_contradicted_id() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        let dir = StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap();
        crate::queue::append(&dir, &crate::queue::Actor::default(), &[]).unwrap();
        let id = dir.identity.state_id.to_string();
        let digit = if id.starts_with('0') { "1" } else { "0" };
        let text = fs::read_to_string(dir.paths.identity()).unwrap();
        fs::write(dir.paths.identity(), text.replacen(&id, &format!("{digit}{}", &id[1..]), 1)).unwrap();
        let (repaired, repairing) = repair(&root).unwrap();
        assert_eq!(repaired.identity.state_id.to_string(), id);
        assert!(repairing.unwrap().quarantined.is_some());
        assert!(repair(&root).unwrap().1.is_none());
    }
}
