//! Writing and reading the trail.

use std::path::{Path, PathBuf};

use super::entry::Entry;
use crate::durable::DiskError;
use crate::durable::log::{Damage, DamageKind, Log, LogError, Position, ReadRequest};
use crate::durable::seeded_bug::SeededBug;
use crate::state::StateDir;
use crate::system::Host;

const SEGMENT_BYTES: u64 = 1 << 20;

/// Why an act could not be recorded. It must not be acknowledged then.
#[derive(Debug, thiserror::Error)]
#[error("the audit trail in {} cannot be used", folder.display())]
pub struct AuditError {
    /// The trail's folder.
    pub folder: std::path::PathBuf,
    #[source]
    pub source: LogError,
}

/// An open trail.
#[derive(Debug)]
pub struct Trail {
    log: Log,
    folder: std::path::PathBuf,
}

impl Trail {
    /// Opens the trail, before the act that is to be recorded.
    pub fn open(dir: &StateDir) -> Result<Trail, AuditError> {
        let folder = dir.paths.audit_log();
        // Damage must not stop any act: what is in the way is moved aside, and the trail is begun anew.
        let opened = open_log(dir).or_else(|_| {
            set_strangers_aside(dir)?;
            open_log(dir)
        });
        let log = opened.map_err(|source| AuditError { folder: folder.clone(), source })?;
        Ok(Trail { log, folder })
    }

    /// Records an act; it is on disk when this returns. The sequence number is returned.
    ///
    /// # Errors
    /// The entry may be there or not.
    pub fn record(&self, entry: &Entry) -> Result<u64, AuditError> {
        let line = serde_json::to_vec(entry).unwrap_or_default(); // Text and a time: always JSON.
        self.log.append(&[line]).map_err(|source| AuditError { folder: self.folder.clone(), source })
    }
}

impl Trail {
    /// Records several acts with one sync.
    pub(crate) fn record_all(&self, entries: &[Entry]) -> Result<(), AuditError> {
        let lines: Vec<Vec<u8>> = entries.iter().map(|e| serde_json::to_vec(e).unwrap_or_default()).collect();
        let appended = self.log.append(&lines);
        appended.map(drop).map_err(|source| AuditError { folder: self.folder.clone(), source })
    }
}

/// Moves into quarantine what has the name of one of the trail's files but is none: a file in the place of the
/// folder, a folder in the place of a file. Segments that are files are left as they are: a damaged segment costs
/// only its damaged records.
fn set_strangers_aside(dir: &StateDir) -> Result<(), DiskError> {
    let folder = dir.paths.audit_log();
    let is = |path: &Path, wanted: fn(&std::fs::Metadata) -> bool| {
        std::fs::symlink_metadata(path).is_ok_and(|m| wanted(&m))
    };
    let mut strangers: Vec<PathBuf> = Vec::new();
    for path in [folder.parent().unwrap_or(&folder), &folder] {
        if is(path, |m| !m.is_dir()) {
            strangers.push(path.to_owned());
        }
    }
    if let Ok(entries) = std::fs::read_dir(&folder) {
        strangers.extend(entries.flatten().map(|e| e.path()).filter(|path| is(path, |m| !m.is_file())));
    }
    let quarantine = dir.paths.quarantine();
    for stranger in strangers {
        dir.disk.ensure_dir(&quarantine)?;
        let name = stranger.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kept = quarantine.join(format!("audit-{}-{name}", uuid::Uuid::now_v7()));
        dir.disk.rename(&stranger, &kept, false)?;
        dir.disk.sync_dir(&quarantine)?;
    }
    for path in [folder.parent().unwrap_or(&folder), &folder] {
        dir.disk.ensure_dir(path)?;
    }
    Ok(())
}

fn open_log(dir: &StateDir) -> Result<Log, LogError> {
    let options = dir.log_options(dir.paths.audit_log(), "audit", Host::this().boot_id, SEGMENT_BYTES);
    // For the same reason as with the queue's log.
    dir.sync_identity(&options.folder)?;
    if !options.folder.is_dir() {
        dir.disk.ensure_dir(&options.folder)?;
    }
    Log::open(&dir.disk, options)
}

/// Records an act. Where the act can still be refused, [`Trail::open`] comes first.
///
/// # Errors
/// The entry may be there or not.
pub fn record(dir: &StateDir, entry: &Entry) -> Result<u64, AuditError> {
    Trail::open(dir)?.record(entry)
}

/// The result of reading a trail.
#[derive(Debug, Clone, Default)]
pub struct TrailRead {
    /// The acts by sequence number, in order.
    pub entries: Vec<(u64, Entry)>,
    /// Bytes that are no record, except a half-written end, which a process may be writing.
    pub damage: Vec<Damage>,
    /// Sequence numbers that should be there and are not, first and last of each gap.
    pub missing: Vec<(u64, u64)>,
    /// Whole records that are no entry that this version knows.
    pub unknown: Vec<u64>,
}

/// Whether the files of a trail are whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrailCheck {
    /// Bytes that are no record, except a half-written end, which a process may be writing.
    pub damage: Vec<Damage>,
    /// Sequence numbers that should be there and are not, first and last of each gap.
    pub missing: Vec<(u64, u64)>,
    /// The last record; 0 when there is none.
    pub last_seq: u64,
}

/// Checks the whole trail, without parsing the entries. Changes nothing.
///
/// # Errors
/// The system's error. Damage is no error.
pub(crate) fn check(dir: &StateDir) -> Result<TrailCheck, AuditError> {
    let (folder, state_id) = (dir.paths.audit_log(), dir.identity.state_id.to_string());
    if !folder.exists() {
        return Ok(TrailCheck::default());
    }
    let request =
        ReadRequest { folder: &folder, state_id: Some(&state_id), from: Position::default(), until: None };
    let summary = crate::durable::log::read(request, |_, _| {})
        .map_err(|e| AuditError { folder: folder.clone(), source: e.into() })?;
    let mut damage = summary.damage;
    damage.retain(|d| d.kind != DamageKind::TornTail);
    Ok(TrailCheck { damage, missing: summary.missing, last_seq: summary.position.last_seq })
}

/// Reads the whole trail. Everything that it returns was synced before: an entry whose writer was killed must not
/// be seen and then be lost.
///
/// # Errors
/// The system's error. Damage is no error.
pub fn read(dir: &StateDir) -> Result<TrailRead, AuditError> {
    let (folder, state_id) = (dir.paths.audit_log(), dir.identity.state_id.to_string());
    let mut trail = TrailRead::default();
    if !folder.exists() {
        return Ok(trail);
    }
    let failed = |source| AuditError { folder: folder.clone(), source };
    // Where the log cannot be opened, no process writes either: the files are read as they are.
    let until = match open_log(dir) {
        Ok(log) => {
            // An entry whose writer was killed before it published it is included now, or cut off: hidden today,
            // it would appear after the next power loss. Where the lock is held, the writer lives.
            let _ = log.locked(|_| Ok::<(), LogError>(()));
            let end = log.end();
            if !SeededBug::ShowBeforeSync.is_on() {
                log.commit(end.last_seq).map_err(failed)?;
            }
            Some(end)
        }
        Err(_) => None,
    };
    let request =
        ReadRequest { folder: &folder, state_id: Some(&state_id), from: Position::default(), until };
    let summary = crate::durable::log::read(request, |seq, line| match serde_json::from_slice(line) {
        Ok(entry) => trail.entries.push((seq, entry)),
        Err(_) => trail.unknown.push(seq),
    })
    .map_err(|e| failed(e.into()))?;
    trail.missing = summary.missing;
    trail.damage = summary.damage;
    trail.damage.retain(|d| d.kind != DamageKind::TornTail);
    Ok(trail)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::audit::Actor;
    use crate::durable::Disk;
    use crate::findings::Object;
    use crate::state::{Clock, Timestamp};

    fn entry(n: i64) -> Entry {
        let actor = Actor { by: "uid:0 root release".to_owned(), why: Some(format!("reason {n}")) };
        Entry::done(Timestamp::from_millis(n), &actor, "release", Object::Lock(n.to_string()), String::new())
    }

    fn segment(dir: &StateDir) -> std::path::PathBuf {
        let names = std::fs::read_dir(dir.paths.audit_log()).unwrap().map(|e| e.unwrap().path());
        names.into_iter().find(|p| p.extension().is_some_and(|e| e == "log")).unwrap()
    }

    #[test]
    fn trail_in_order_with_damaged_entry() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        let dir = StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap();
        assert!(read(&dir).unwrap().entries.is_empty());
        let trail = Trail::open(&dir).unwrap();
        assert_eq!(trail.record(&entry(1)).unwrap(), 1);
        assert_eq!(record(&dir, &entry(2).failed()).unwrap(), 2);
        assert_eq!(trail.record(&entry(3)).unwrap(), 3);
        let whole = read(&dir).unwrap();
        assert_eq!(whole.entries, [(1, entry(1)), (2, entry(2).failed()), (3, entry(3))]);
        assert!(whole.damage.is_empty() && whole.unknown.is_empty());

        let path = segment(&dir);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("reason 2", "reason 9")).unwrap();
        let damaged = read(&dir).unwrap();
        assert_eq!(damaged.entries, [(1, entry(1)), (3, entry(3))]);
        assert_eq!(damaged.damage.len(), 1);
    }

    #[test]
    fn trail_torn_end_is_cut_by_next_writer() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        let dir = StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap();
        record(&dir, &entry(1)).unwrap();
        let mut file = std::fs::OpenOptions::new().append(true).open(segment(&dir)).unwrap();
        file.write_all(b"0badc0de 0000").unwrap();
        drop(file);
        assert_eq!(read(&dir).unwrap().entries.len(), 1);
        // This imitates another boot: the shared page is not believed any more.
        std::fs::remove_file(dir.paths.audit_log().join("commit.page")).unwrap();
        assert_eq!(record(&dir, &entry(2)).unwrap(), 2);
        let whole = read(&dir).unwrap();
        assert_eq!(whole.entries.len(), 2);
        assert!(whole.damage.is_empty());
    }
}
