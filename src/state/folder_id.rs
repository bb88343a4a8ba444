//! The identity of a state directory's folder: `place.json`, and the conclusions from it.
//!
//! ```json
//! {"version":2,"checksum":"5f1c09aa","state_id":"0192…","incarnation":1,"device":2049,"inode":131,
//!  "born":"1796000000.123456789","machine_id":"3d12…","paths":["/var/lib/recoveryctl"],
//!  "recorded_at":"2026-03-01T09:30:00.000Z"}
//! ```
//!
//! A path is no identity: a folder can be copied, renamed, and restored from a backup. So the folder itself
//! is recorded in it: its inode, and the inode's time of birth (which no copy has, and which survives a
//! remount, a reboot and a change of container; the device number does not). A copy carries the record of its
//! original, and so recognises that it is a copy.
//!
//! | this folder is the recorded one | its path | the recorded path leads to | what it is |
//! | --- | --- | --- | --- |
//! | yes | the same | itself | itself |
//! | yes | another | itself, or nothing, or another state directory | moved, or seen through another mount: recorded anew |
//! | yes | another | another folder that is the recorded one too | a snapshot of the whole file system: a copy |
//! | no | another | a state directory of the same id | a copy |
//! | no | any | on a machine with another id | a copy |
//! | no | another | nothing of the kind | moved to another file system: a new incarnation |
//! | no | the same | itself | a backup that was restored: a new incarnation |
//! | cannot be told (no birth time, changing inode numbers) | any | | itself |
//! | nothing is recorded, or the record is damaged | any | | itself: recorded now |
//!
//! A copy is not written to (see [`crate::durable::Home`]) until [`crate::repair::adopt_as_new`] makes another
//! state directory of it. The record does not show that a backup was restored *into* the recorded folder. Two
//! other things show that: an attribute of the folder itself (`user.recoveryctl.incarnation`), which no backup of
//! files has, and living processes (see [`crate::jobs::notice_restore`]).
//!
//! Not detected: a whole machine that was cloned with its disk, path and machine id. Processes in one of the two
//! machines cannot be seen from the other.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::StateError;
use super::identity::Identity;
use super::paths::StatePaths;
use crate::durable::{Disk, IoContext, read_optional, replace, sealed};
use crate::system::clock::Timestamp;

/// The attribute of the folder that holds its highest incarnation so far.
const ATTRIBUTE: &str = "user.recoveryctl.incarnation";

/// The most paths that are kept.
const MOST_PATHS: usize = 8;

/// A folder, told from every other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderId {
    /// The device that it is on; another one after a remount.
    pub device: u64,
    pub inode: u64,
    /// When the inode was made, as `seconds.nanoseconds`; `None` where the file system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born: Option<String>,
    /// Whether its file system numbers its files anew (FUSE, overlays), seen when it was looked at.
    #[serde(skip)]
    pub is_renumbered: bool,
}

impl FolderId {
    /// The identity of a folder.
    pub(crate) fn of(folder: &Path) -> Result<FolderId, StateError> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(folder).context("look at", folder)?;
        Ok(FolderId {
            device: metadata.dev(),
            inode: metadata.ino(),
            born: born(folder),
            is_renumbered: is_renumbered(folder),
        })
    }

    /// Whether the other identity is that of the same folder; `None` when that cannot be told.
    pub(crate) fn is(&self, other: &FolderId) -> Option<bool> {
        match (&self.born, &other.born) {
            (Some(ours), Some(theirs)) if ours != theirs => Some(false),
            (Some(_), Some(_)) if self.inode == other.inode => Some(true),
            // They were made in the same tick of the clock, or are seen through a file system that renumbers its
            // files.
            (Some(_), Some(_)) => None,
            _ if self.device != other.device || self.is_renumbered || other.is_renumbered => None,
            _ => Some(self.inode == other.inode),
        }
    }

    /// Its form in the environment of processes.
    pub(crate) fn as_mark(&self) -> String {
        format!("{}:{}", self.device, self.inode)
    }
}

fn is_renumbered(folder: &Path) -> bool {
    /// The magic numbers in statfs(2) of FUSE and overlayfs.
    const RENUMBERED: [i64; 2] = [0x6573_5546, 0x794c_7630];
    #[allow(clippy::useless_conversion)] // The type differs between architectures.
    rustix::fs::statfs(folder).is_ok_and(|fs| RENUMBERED.contains(&i64::from(fs.f_type)))
}

/// The machine's id; empty where there is none.
fn machine_id() -> String {
    crate::durable::plain::read_text("/etc/machine-id")
        .map_or_else(|_| String::new(), |id| id.trim().to_owned())
}

fn born(folder: &Path) -> Option<String> {
    let flags = AtFlags::empty();
    let seen = rustix::fs::statx(rustix::fs::CWD, folder, flags, StatxFlags::BTIME).ok()?;
    let has = seen.stx_mask & StatxFlags::BTIME.bits() != 0 && seen.stx_btime.tv_sec != 0;
    has.then(|| format!("{}.{:09}", seen.stx_btime.tv_sec, seen.stx_btime.tv_nsec))
}

/// The state directory, incarnation and folder that something belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateStamp {
    /// Which state directory.
    pub state_id: Uuid,
    /// Its incarnation.
    pub incarnation: u64,
    /// The device of its folder then.
    pub device: u64,
    /// The inode of its folder.
    pub inode: u64,
}

/// That a directory went back in time, or was moved by copying it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// When that was noticed.
    pub at: Timestamp,
    /// The incarnation that was put back.
    pub from_incarnation: u64,
    /// The last record of the restored log: anything that names a later record, and is not of the incarnation
    /// that began then, is from the time that is lost.
    #[serde(default)]
    pub log_end: u64,
    /// How it was noticed.
    pub why: String,
    /// Whether a recovery has told it.
    #[serde(default)]
    pub is_told: bool,
    /// Whether processes of another incarnation may live.
    #[serde(default)]
    pub has_survivors: bool,
}

/// The recorded past of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Past {
    /// That it went back in time.
    pub restored: Option<Restored>,
    /// The directory that it was a copy of.
    pub copied_from: Option<CopiedFrom>,
}

/// The content of `place.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FolderRecord {
    /// Which state directory.
    pub state_id: Uuid,
    /// Its incarnation when this was written.
    pub incarnation: u64,
    #[serde(flatten)]
    pub place: FolderId,
    /// The machine's id; empty where there is none.
    pub machine_id: String,
    /// Paths at which the folder was seen, the last one first: one folder may have a path in each container.
    pub paths: Vec<PathBuf>,
    /// When this was written.
    pub recorded_at: Timestamp,
    /// That it went back in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restored>,
    /// The directory that it was a copy of, and that one's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied_from: Option<CopiedFrom>,
    /// In a copy: the ids that its logs may have been given by tries to adopt it that were cut short.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopting: Vec<Uuid>,
}

/// The original of a directory that was a copy before it was adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedFrom {
    /// Where the original was.
    pub path: PathBuf,
    pub state_id: Uuid,
    /// When the copy was made a directory of its own.
    pub at: Timestamp,
}

impl FolderRecord {
    /// Reads it; `None` when it is absent or damaged.
    pub(crate) fn read(path: &Path) -> Option<FolderRecord> {
        let bytes = read_optional(path).ok()??;
        sealed::check(&bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    pub(super) fn past(&self) -> Past {
        Past { restored: self.restored.clone(), copied_from: self.copied_from.clone() }
    }

    /// Writes it durably, and the attribute of the folder.
    #[track_caller]
    pub(super) fn write(&self, disk: &Disk, paths: &StatePaths) -> Result<(), StateError> {
        let body = serde_json::to_vec(self).unwrap_or_default();
        replace(disk, &paths.place(), &sealed::seal(&body))?;
        note_on_folder(paths.root(), self.incarnation);
        Ok(())
    }
}

/// Records the incarnation on the folder, in addition to the record in it; the attribute is absent where the file
/// system has none.
fn note_on_folder(root: &Path, incarnation: u64) {
    if noted_on_folder(root).is_none_or(|noted| noted < incarnation) {
        let value = incarnation.to_string();
        let _ = rustix::fs::setxattr(root, ATTRIBUTE, value.as_bytes(), rustix::fs::XattrFlags::empty());
    }
}

fn noted_on_folder(root: &Path) -> Option<u64> {
    let mut value = [0_u8; 20];
    let length = rustix::fs::getxattr(root, ATTRIBUTE, &mut value).ok()?;
    std::str::from_utf8(value.get(..length)?).ok()?.parse().ok()
}

/// How a state directory came to be here, judged by its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryOrigin {
    /// It is the recorded one.
    Own,
    /// It is the recorded one; the record must be rewritten because it is absent or has another path.
    Unrecorded,
    /// It went back in time, or came here by copying, and that is not recorded yet.
    Restored {
        /// How it was noticed.
        why: String,
    },
    /// A copy of another one.
    Copied {
        /// Where the original is, or was.
        of: PathBuf,
        /// How it was noticed.
        why: String,
    },
}

/// Decides by the table in the module's documentation.
pub(super) fn origin_of(
    paths: &StatePaths,
    identity: &Identity,
    here: &FolderId,
    record: Option<&FolderRecord>,
) -> DirectoryOrigin {
    // A record of another identity came with files of another directory, and does not describe this one.
    let Some(record) = record.filter(|record| record.state_id == identity.state_id) else {
        return DirectoryOrigin::Unrecorded;
    };
    let own = real_path(paths.root());
    let copied =
        |(of, _): (PathBuf, FolderId), why: &str| DirectoryOrigin::Copied { of, why: why.to_owned() };
    let original = original_of(record, &own, identity, here);
    if here.is(&record.place) == Some(false) {
        return match original {
            Some(original) => copied(original, "the original is still there"),
            None => standing_elsewhere(record, &own),
        };
    }
    match original {
        Some(original) if original.1.is(&record.place) == Some(true) => {
            copied(original, "the original is still there: this is a snapshot of its file system")
        }
        _ => standing_of_the_recorded(paths.root(), identity, here, record, &own),
    }
}

/// The origin of a folder that is not the recorded one, when no other folder is seen that could be the original.
fn standing_elsewhere(record: &FolderRecord, own: &PathBuf) -> DirectoryOrigin {
    let machine_id = machine_id();
    let before = record.paths.first().cloned().unwrap_or_default();
    if !machine_id.is_empty() && !record.machine_id.is_empty() && machine_id != record.machine_id {
        let why = "it was made on another machine".to_owned();
        return DirectoryOrigin::Copied { of: before, why };
    }
    let why = match record.paths.contains(own) {
        true => "another folder has its path than the one that is recorded in it: a backup was put back"
            .to_owned(),
        false => format!("it was copied here from {}, where it is no more", before.display()),
    };
    DirectoryOrigin::Restored { why }
}

fn standing_of_the_recorded(
    root: &Path,
    identity: &Identity,
    here: &FolderId,
    record: &FolderRecord,
    own: &PathBuf,
) -> DirectoryOrigin {
    let noted = noted_on_folder(root).unwrap_or(0);
    if noted > identity.incarnation {
        let why =
            format!("the folder has had incarnation {noted}, and its files are of {}", identity.incarnation);
        return DirectoryOrigin::Restored { why };
    }
    let is_settled = record.paths.contains(own)
        && record.incarnation == identity.incarnation
        && here.device == record.place.device;
    if is_settled { DirectoryOrigin::Own } else { DirectoryOrigin::Unrecorded }
}

fn real_path(root: &Path) -> PathBuf {
    std::fs::canonicalize(root).unwrap_or_else(|_| root.to_owned())
}

/// Another folder, at a recorded path, that is a state directory of the same id. The same folder by another
/// name (a bind mount, a link) does not count.
fn original_of(
    record: &FolderRecord,
    own: &Path,
    identity: &Identity,
    here: &FolderId,
) -> Option<(PathBuf, FolderId)> {
    let others = record.paths.iter().filter(|path| *path != own);
    others
        .filter_map(|path| Some((path.clone(), state_at(path, identity)?)))
        .find(|(_, place)| (place.device, place.inode) != (here.device, here.inode))
}

fn state_at(path: &Path, identity: &Identity) -> Option<FolderId> {
    let found = Identity::read(&StatePaths::new(path.to_owned()).identity()).ok()??;
    if found.state_id == identity.state_id { FolderId::of(path).ok() } else { None }
}

/// The next incarnation: later than all that this directory is known to have had. It is the second in which it
/// begins, so that two directories that were made from one backup do not share one.
pub(super) fn next_incarnation(root: &Path, identity: &Identity, now: Timestamp) -> u64 {
    let second = u64::try_from(now.as_millis() / 1000).unwrap_or(0);
    let known = identity.incarnation.max(noted_on_folder(root).unwrap_or(0));
    second.max(known.saturating_add(1))
}

/// The record of a directory as it is now.
pub(super) fn record_here(
    paths: &StatePaths,
    identity: &Identity,
    place: &FolderId,
    now: Timestamp,
    before: Option<FolderRecord>,
) -> FolderRecord {
    let before = before.filter(|before| before.state_id == identity.state_id);
    let mut paths_seen = vec![real_path(paths.root())];
    let (mut restored, mut copied_from) = (None, None);
    if let Some(before) = before {
        let others = before.paths.into_iter().filter(|path| *path != paths_seen[0]);
        let others: Vec<PathBuf> = others.take(MOST_PATHS - 1).collect();
        paths_seen.extend(others);
        (restored, copied_from) = (before.restored, before.copied_from);
    }
    FolderRecord {
        state_id: identity.state_id,
        incarnation: identity.incarnation,
        place: place.clone(),
        machine_id: machine_id(),
        paths: paths_seen,
        recorded_at: now,
        restored,
        copied_from,
        adopting: Vec::new(),
    }
}
