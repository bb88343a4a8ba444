//! Where unreadable files go, each with a note of why; nothing unreadable is ever deleted.
//!
//! `quarantine/<checksum>-<bytes>-<name>` is the file (or the bytes cut from one), `….why.json` the note. A copy of
//! the same bytes of the same file is kept once, however often recovery runs.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::error::{DiskError, IoContext};
use super::regular::{is_not_regular, read_regular};
use super::replace::replace;

/// The longest file that is copied, in bytes: many times the default segment of a log.
const LONGEST_COPY: u64 = 64 << 20;

/// Why something is in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineNote {
    /// The file it came from.
    pub from: PathBuf,
    /// Where in that file the bytes lay; `None` for the whole file.
    pub offset: Option<u64>,
    /// How many bytes.
    pub bytes: u64,
    /// What was wrong.
    pub reason: String,
    /// When it was taken, RFC 3339.
    pub at: String,
    /// Its name in the quarantine folder.
    pub kept_as: String,
}

/// The quarantine folder.
#[derive(Debug, Clone)]
pub struct Quarantine {
    disk: Disk,
    folder: PathBuf,
}

impl Quarantine {
    /// The quarantine in `folder`, which is made when needed.
    pub fn new(disk: Disk, folder: PathBuf) -> Quarantine {
        Quarantine { disk, folder }
    }

    /// Keeps a copy of a whole file; the original stays in place.
    ///
    /// # Errors
    /// The system's error; that it is not a regular file; that it is too long for a copy.
    #[track_caller]
    pub fn keep_file(&self, path: &Path, reason: &str, at: &str) -> Result<PathBuf, DiskError> {
        let bytes = read_regular(path, LONGEST_COPY).context("read", path)?;
        self.keep(path, None, &bytes, reason, at)
    }

    /// Moves a file: the copy is durable before the original is removed. A file that is too long for a copy, or
    /// not a regular file, is renamed instead.
    #[track_caller]
    pub fn take_file(&self, path: &Path, reason: &str, at: &str) -> Result<PathBuf, DiskError> {
        let kept = match self.keep_file(path, reason, at) {
            Err(e) if is_not_regular(&e.source) || e.kind() == ErrorKind::FileTooLarge => {
                return self.take_other(path, reason, at);
            }
            kept => kept?,
        };
        self.disk.remove_file(path)?;
        self.disk.sync_dir(super::disk::parent(path))?;
        Ok(kept)
    }

    /// Moves something that is not a regular file, such as a pipe, or a folder with its content.
    ///
    /// # Errors
    /// The system's error; it is then still in its old place.
    pub(crate) fn take_other(&self, path: &Path, reason: &str, at: &str) -> Result<PathBuf, DiskError> {
        self.disk.ensure_dir(&self.folder)?;
        let name = (0_u32..).map(|n| kept_name(path, Some(u64::from(n)), &[]));
        let mut free = name.filter(|name| std::fs::symlink_metadata(self.folder.join(name)).is_err());
        let name = free.next().unwrap_or_default();
        let kept = self.folder.join(&name);
        self.note(&QuarantineNote {
            from: path.to_owned(),
            offset: None,
            bytes: 0,
            reason: reason.to_owned(),
            at: at.to_owned(),
            kept_as: name,
        })?;
        self.disk.rename(path, &kept, false)?;
        self.disk.sync_dir(&self.folder)?;
        self.disk.sync_dir(super::disk::parent(path))?;
        Ok(kept)
    }

    fn note(&self, note: &QuarantineNote) -> Result<(), DiskError> {
        let path = self.folder.join(format!("{}.why.json", note.kept_as));
        replace(&self.disk, &path, &serde_json::to_vec_pretty(note).unwrap_or_default())
    }

    /// Keeps bytes that were cut from a file or skipped in it.
    #[track_caller]
    pub fn keep(
        &self,
        from: &Path,
        offset: Option<u64>,
        bytes: &[u8],
        reason: &str,
        at: &str,
    ) -> Result<PathBuf, DiskError> {
        self.disk.ensure_dir(&self.folder)?;
        let name = kept_name(from, offset, bytes);
        let path = self.folder.join(&name);
        let note_path = self.folder.join(format!("{name}.why.json"));
        if note_path.exists() {
            return Ok(path);
        }
        replace(&self.disk, &path, bytes)?;
        self.note(&QuarantineNote {
            from: from.to_owned(),
            offset,
            bytes: bytes.len() as u64,
            reason: reason.to_owned(),
            at: at.to_owned(),
            kept_as: name,
        })?;
        Ok(path)
    }

    /// All notes, oldest first. A note that cannot be read is left out.
    pub fn notes(&self) -> Vec<QuarantineNote> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let mut notes: Vec<QuarantineNote> = entries
            .flatten()
            .filter(|e| e.file_name().as_encoded_bytes().ends_with(b".why.json"))
            .filter_map(|e| serde_json::from_slice(&crate::durable::plain::read(e.path()).ok()?).ok())
            .collect();
        notes.sort_by(|a, b| (&a.at, &a.kept_as).cmp(&(&b.at, &b.kept_as)));
        notes
    }
}

/// The same bytes from the same place get the same name, so that a second run keeps no second copy.
fn kept_name(from: &Path, offset: Option<u64>, bytes: &[u8]) -> String {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(from.as_os_str().as_encoded_bytes());
    hasher.update(&offset.unwrap_or(u64::MAX).to_le_bytes());
    hasher.update(bytes);
    let name = from.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    // A file name has at most 255 bytes, and the note's name is longer than the copy's.
    let mut short: String = name.chars().filter(|c| !c.is_control()).collect();
    short.truncate(short.floor_char_boundary(120));
    format!("{:08x}-{}-{short}", hasher.finalize(), bytes.len())
}
