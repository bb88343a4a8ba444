//! A recovery on a private copy of the state directory: shows what would happen and changes nothing.
//!
//! **The copy.** Every file of ours is copied (sharing its blocks with the original where the file system
//! can). Workspaces, and trashes, belong to the jobs, which may have given them to other users: the copy has
//! empty ones, with an empty checkpoint where there is one, and nothing looks into them; only in layout 2 the
//! server's own files are copied. Outputs are empty files of the same length. Where a process (a supervisor,
//! a daemon, a `lock`) holds a lock file of the original, this process holds it in the copy.
//!
//! **Only examined.** Processes: living jobs know the original's paths, so the copy knows by which name to
//! look for them ([`StatePaths::as_known`]); no signal is sent and no supervisor is started, as in every
//! recovery. Lock files of the original: probed, never taken.
//!
//! **The proof.** SHA-256 of every file of the server's in the original, before and after. Differing files
//! are named; this process did not change them. When nothing that could have written lives, nothing may
//! differ.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::history::RecoveryRecord;
use super::options::RunOptions;
use super::phases::{Recovery, Settings};
use super::run::RunError;
use super::{GraphError, RecoveryOutcome, read_current};
use crate::durable::tree::remove_tree;
use crate::durable::{Disk, DiskError, FileLock, IoContext, LockError, error_chain, is_held};
use crate::logging::events;
use crate::state::names::decode;
use crate::state::{ATTEMPT_FILES, CHECKPOINT, DirectoryOrigin, StateDir, StateError, StatePaths, Word};
use tracing::debug;

/// How often a copy is begun again because a process wrote in between.
const COPIES: usize = 5;

/// The output file of an attempt.
const OUTPUT: &str = "output.log";
/// Locks that are held only for moments: those that are held now are released before the copy is ready.
const MOMENTARY: &[&str] =
    &["append.lock", "sync.lock", "state.lock", "names.lock", "checkpoint.lock", "import.lock"];

/// Why nothing was rehearsed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RehearseError {
    /// A real recovery is under way.
    #[error("a recovery is under way: process {pid}")]
    UnderWay {
        /// The process that runs it.
        pid: u32,
    },
    /// The phases cannot be ordered.
    #[error(transparent)]
    Phases(#[from] GraphError),
    /// The copy could not be opened.
    #[error(transparent)]
    State(#[from] StateError),
    /// The recovery of the copy did not run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A lock of the copy could not be used.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// The result of a rehearsal.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Rehearsal {
    /// The record of the copy's recovery.
    #[serde(flatten)]
    pub record: RecoveryRecord,
    /// Always true: nothing was recovered.
    pub rehearsal: bool,
    /// The files that it would change, by path; without its own records of the recovery.
    pub changes: Vec<Change>,
    /// That the original is as it was.
    pub proof: Proof,
}

/// A file that a recovery would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Relative to the state directory.
    pub path: PathBuf,
    /// `created`, `changed` or `removed`.
    pub change: Word,
}

/// The result of hashing the original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proof {
    /// How many files were read.
    pub files: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Over all files' names and contents, before.
    pub before: String,
    /// The same, after.
    pub after: String,
    /// Whether the two are the same.
    pub unchanged: bool,
    /// The files that differ, written by other processes.
    pub changed_meanwhile: Vec<PathBuf>,
    /// The lock files that living processes hold: these may have written.
    pub live: Vec<PathBuf>,
}

/// The prefix of the folders that hold a copy.
const PREFIX: &str = "recoveryctl-rehearsal-";
/// The lock file that is held in such a folder while it is used.
const IN_USE: &str = "in-use.lock";

/// Recovers a copy of `dir` below `place`, which is removed again.
///
/// # Errors
/// See [`RehearseError`]; the original is unchanged in every case.
pub fn rehearse(
    dir: &StateDir,
    place: &Path,
    settings: Settings,
    options: &RunOptions,
) -> Result<Rehearsal, RehearseError> {
    if let Some(run) = read_current(dir).filter(|s| s.outcome == RecoveryOutcome::Running) {
        return Err(RehearseError::UnderWay { pid: run.pid });
    }
    remove_abandoned_copies(place);
    let folder = tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(place)
        .context("make a temporary folder in", place)?;
    let _in_use = FileLock::try_acquire(&Disk::real(), &folder.path().join(IN_USE))?;
    let (before, root) = consistent_copy(dir, folder.path())?;
    let live = held_locks(dir.paths.root(), &before)?;
    let copy = StateDir {
        disk: Disk::real(),
        // The copy stands for the original.
        place: dir.place.clone(),
        origin: DirectoryOrigin::Own,
        ..StateDir::open(&root, Disk::real(), dir.clock.clone())?
    };
    let copy = StateDir { paths: copy.paths.of_copy(dir.paths.root().to_owned()), ..copy };
    let copy = StateDir { lock_wait: dir.lock_wait, segment_bytes: dir.segment_bytes, ..copy };
    let _held: Vec<FileLock> = live
        .iter()
        .map(|path| FileLock::try_acquire(&copy.disk, &root.join(path)))
        .collect::<Result<_, _>>()?;
    let made = hashes(&root)?;
    let (record, _) = Recovery::new(&copy, settings)?.run(options)?;
    let changes = changes(&made, &hashes(&root)?);
    let after = hashes(dir.paths.root())?;
    Ok(Rehearsal { record, rehearsal: true, changes, proof: proof(&before, &after, live) })
}

/// Removes the copies of killed rehearsals: their lock is free. Another user's copy stays.
fn remove_abandoned_copies(place: &Path) {
    let own = rustix::process::geteuid().as_raw();
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let is_copy = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|m| m.is_dir() && m.uid() == own);
        // A folder without the lock file may be one that another process is just making.
        if is_copy
            && matches!(is_held(&entry.path().join(IN_USE)), Ok(false))
            && let Err(e) = remove_tree(&Disk::real(), &entry.path(), &())
        {
            // A copy that cannot be removed stays, and does not prevent a rehearsal.
            debug!(event = events::TROUBLE, "the copy of a rehearsal stays: {}", error_chain(&e));
        }
    }
}

/// Makes a copy during which nothing was written, if possible: a log of now with workspaces of before would
/// look like damage. After some tries the last copy is taken, and the comparison names the files that differ.
fn consistent_copy(dir: &StateDir, folder: &Path) -> Result<(Hashes, PathBuf), RehearseError> {
    let mut before = hashes(dir.paths.root())?;
    let mut number = 0;
    loop {
        number += 1;
        let root = folder.join(format!("state-{number}"));
        copy_folder(&Disk::real(), dir.paths.root(), &root, &Path::new("").into(), &dir.paths)?;
        let after = hashes(dir.paths.root())?;
        let is_same = after.all == before.all;
        before = after;
        if is_same || number == COPIES {
            return Ok((before, root));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Files by path, with hash and length; `all` is the hash over all of them.
struct Hashes {
    files: BTreeMap<PathBuf, (String, u64)>,
    all: String,
}

fn hashes(root: &Path) -> Result<Hashes, DiskError> {
    let mut files = BTreeMap::new();
    hash_folder(root, Path::new(""), &mut files)?;
    let mut all = Sha256::new();
    for (path, (hash, _)) in &files {
        all.update(path.as_os_str().as_encoded_bytes());
        all.update([0]);
        all.update(hash);
        all.update([b'\n']);
    }
    Ok(Hashes { files, all: hex(&all.finalize()) })
}

fn hash_folder(
    root: &Path,
    below: &Path,
    files: &mut BTreeMap<PathBuf, (String, u64)>,
) -> Result<(), DiskError> {
    for entry in entries(&root.join(below))? {
        let path = below.join(entry.file_name());
        let full = root.join(&path);
        let Some(kind) = kind_of(&entry, &full)? else { continue };
        if kind.is_dir() && is_of_jobs(&path) {
            files.insert(path, ("folder of a job".to_owned(), 0));
        } else if kind.is_dir() {
            hash_folder(root, &path, files)?;
        } else if kind.is_symlink() {
            let target = std::fs::read_link(&full).unwrap_or_default();
            files.insert(path, (format!("link to {}", target.display()), 0));
        } else if kind.is_file() {
            if let Some(hashed) = gone_is_none(hash_file(&full))? {
                files.insert(path, hashed);
            }
        } else {
            // A pipe or a device has no content of its own; opening one may wait for ever.
            let what = if kind.is_fifo() { "pipe" } else { "special file" };
            files.insert(path, (what.to_owned(), 0));
        }
    }
    Ok(())
}

fn hash_file(path: &Path) -> Result<(String, u64), DiskError> {
    let mut file = crate::durable::open_regular(path).context("read", path)?;
    let (mut hash, mut buffer, mut bytes) = (Sha256::new(), vec![0; 1 << 16], 0);
    loop {
        match file.read(&mut buffer).context("read", path)? {
            0 => return Ok((hex(&hash.finalize()), bytes)),
            n => {
                hash.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Returns the entries of a folder; none when it is gone.
fn entries(folder: &Path) -> Result<Vec<std::fs::DirEntry>, DiskError> {
    let listed = std::fs::read_dir(folder).and_then(Iterator::collect).context("list", folder);
    Ok(gone_is_none(listed)?.unwrap_or_default())
}

fn kind_of(entry: &std::fs::DirEntry, path: &Path) -> Result<Option<std::fs::FileType>, DiskError> {
    gone_is_none(entry.file_type().context("look at", path))
}

/// Turns the error of a file that another process removed into `None`.
fn gone_is_none<T>(result: Result<T, DiskError>) -> Result<Option<T>, DiskError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}

fn copy_folder(
    disk: &Disk,
    from: &Path,
    to: &Path,
    below: &PathBuf,
    paths: &StatePaths,
) -> Result<(), RehearseError> {
    disk.create_dir(&to.join(below))?;
    for entry in entries(&from.join(below))? {
        let (name, path) = (entry.file_name(), below.join(entry.file_name()));
        let Some(kind) = kind_of(&entry, &from.join(&path))? else { continue };
        let is_output = name == OUTPUT && from.join(&path).starts_with(paths.attempts());
        if kind.is_dir() && is_of_jobs(&path) {
            copy_own_of_workspace(disk, &from.join(&path), &to.join(&path), paths)?;
        } else if kind.is_dir() {
            copy_folder(disk, from, to, &path, paths)?;
        } else if kind.is_file() && is_output {
            copy_length(disk, &entry, &to.join(&path))?;
        } else if kind.is_file() {
            gone_is_none(copy_file(disk, &from.join(&path), &to.join(&path)))?;
        }
    }
    Ok(())
}

/// Whether a folder of the state directory holds what jobs made: a workspace, or a trash.
fn is_of_jobs(below: &Path) -> bool {
    let mut names = below.iter().filter_map(|name| name.to_str());
    match (names.next(), names.next(), names.next()) {
        (Some("jobs"), Some(name), None) => name == ".trash" || decode(name).is_some(),
        (Some("cleanup" | "orphans"), Some("trash"), None) => true,
        _ => false,
    }
}

/// Makes a folder in place of a job's workspace, with the server's files.
fn copy_own_of_workspace(
    disk: &Disk,
    from: &Path,
    to: &Path,
    paths: &StatePaths,
) -> Result<(), RehearseError> {
    disk.create_dir(to)?;
    let is_of_layout_2 = paths.may_be_in_workspaces() && paths.is_of_the_server(from);
    for name in ATTEMPT_FILES.iter().filter(|_| is_of_layout_2) {
        let (own, copy) = (from.join(name), to.join(name));
        if own.symlink_metadata().is_ok_and(|found| found.is_file()) {
            gone_is_none(copy_file(disk, &own, &copy))?;
        }
    }
    let checkpoint = from.join(CHECKPOINT);
    if checkpoint.symlink_metadata().is_ok_and(|found| found.is_file()) {
        disk.create_new(&to.join(CHECKPOINT), 0o600)?;
    }
    Ok(())
}

/// Copies a job's output as an empty file of the same length: only its existence and length count.
fn copy_length(disk: &Disk, entry: &std::fs::DirEntry, to: &Path) -> Result<(), DiskError> {
    let len = entry.metadata().map(|found| found.len()).unwrap_or_default();
    disk.create_new(to, 0o600)?.truncate(len)
}

/// Copies a file: shares the blocks where the file system can. The times are kept, because the time of a
/// heartbeat is its content.
fn copy_file(disk: &Disk, from: &Path, to: &Path) -> Result<(), DiskError> {
    let mut source = crate::durable::open_regular(from).context("read", from)?;
    let copy = disk.create_new(to, 0o600)?;
    if rustix::fs::ioctl_ficlone(copy.as_file(), &source).is_err() {
        let (mut buffer, mut at) = (vec![0; 1 << 16], 0);
        loop {
            match source.read(&mut buffer).context("read", from)? {
                0 => break,
                n => copy.write_at(&buffer[..n], at)?,
            }
            at = copy.metadata()?.len();
        }
    }
    let times = source.metadata().and_then(|m| {
        let times = std::fs::FileTimes::new().set_modified(m.modified()?).set_accessed(m.accessed()?);
        copy.as_file().set_times(times)
    });
    times.context("set the times of", to)
}

/// Returns the lock files that are held, without those that are held only for moments.
fn held_locks(root: &Path, files: &Hashes) -> Result<Vec<PathBuf>, DiskError> {
    let mut held = Vec::new();
    for path in files.files.keys() {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        // A lock below a workspace's top, in layout 2, belongs to the job.
        let is_ours = path.components().count() <= 3 && name.ends_with(".lock") && !MOMENTARY.contains(&name);
        if is_ours && gone_is_none(is_held(&root.join(path)))? == Some(true) {
            held.push(path.clone());
        }
    }
    Ok(held)
}

fn changes(before: &Hashes, after: &Hashes) -> Vec<Change> {
    let differ = differing(before, after);
    let is_own = |path: &PathBuf| path.starts_with("recovery") || path.ends_with("commit.page");
    let change = |path: PathBuf| {
        let change = match (before.files.contains_key(&path), after.files.contains_key(&path)) {
            (false, _) => "created",
            (true, true) => "changed",
            (true, false) => "removed",
        };
        Change { path, change: Word::from(change) }
    };
    differ.into_iter().filter(|path| !is_own(path)).map(change).collect()
}

fn differing(before: &Hashes, after: &Hashes) -> Vec<PathBuf> {
    let gone = before.files.keys().filter(|path| !after.files.contains_key(*path));
    let other = after.files.iter().filter(|(path, hash)| before.files.get(*path) != Some(hash));
    let mut differ: Vec<PathBuf> = gone.chain(other.map(|(path, _)| path)).cloned().collect();
    differ.sort();
    differ
}

fn proof(before: &Hashes, after: &Hashes, live: Vec<PathBuf>) -> Proof {
    Proof {
        files: after.files.len() as u64,
        bytes: after.files.values().map(|(_, bytes)| bytes).sum(),
        before: before.all.clone(),
        after: after.all.clone(),
        unchanged: before.all == after.all,
        changed_meanwhile: differing(before, after),
        live,
    }
}
