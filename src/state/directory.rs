//! Opening and making a state directory: permissions, layout, identity.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::error::StateError;
use super::exposure::{check_file, check_way};
use super::folder_id::{DirectoryOrigin, FolderId, Past, record_here};
use super::identity::Identity;
use super::layout::LAYOUT_VERSION;
use super::paths::{JobPaths, StatePaths};
use crate::durable::log::LogOptions;
use crate::durable::tree::is_on_one_mount;
use crate::durable::{Disk, DiskError, FileLock, IoContext, Quarantine, Unable, try_abilities};
use crate::system::clock::Clock;

/// A state directory that was checked and opened. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StateDir {
    /// Its paths.
    pub paths: StatePaths,
    /// Its id, layout and incarnation.
    pub identity: Identity,
    /// The identity of its folder.
    pub place: FolderId,
    /// How it came to be here, judged by its record.
    pub origin: DirectoryOrigin,
    /// What is recorded of its past.
    pub past: Past,
    /// Whether processes of another incarnation may live. All clones share this, because a recovery determines
    /// it, and the search for such processes is frequent.
    pub has_survivors: Arc<AtomicBool>,
    /// The seam to the disk.
    pub disk: Disk,
    /// The source of the present time.
    pub clock: Clock,
    /// How long to wait for a lock that another process holds.
    pub lock_wait: Duration,
    /// Size of a segment of the queue's log, in bytes, and the largest size for every other log. Processes with
    /// different sizes may share a log.
    pub segment_bytes: u64,
}

/// How long to wait for another process's lock unless told otherwise.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Size of a segment of the queue's log unless told otherwise, bytes.
pub const SEGMENT_BYTES: u64 = 4 << 20;

impl StateDir {
    /// Opens an existing one.
    ///
    /// # Errors
    /// [`StateError::Missing`] when there is none; see [`StateError`].
    pub fn open(root: &Path, disk: Disk, clock: Clock) -> Result<StateDir, StateError> {
        check_folder(root)?;
        check_way_to(root)?;
        check_own_folders(&StatePaths::new(absolute(root)?))?;
        StateDir::open_checked(root, disk, clock)
    }

    /// As [`StateDir::open`], for a process that was started by another one, which has opened the directory that
    /// way and says which folder it was. The folders above it are not checked again: if other users can change
    /// one of them by now, that must not fail the jobs that are started.
    pub fn open_expected(root: &Path, disk: Disk, clock: Clock) -> Result<StateDir, StateError> {
        check_folder(root)?;
        StateDir::open_checked(root, disk, clock)
    }

    fn open_checked(root: &Path, disk: Disk, clock: Clock) -> Result<StateDir, StateError> {
        let paths = StatePaths::new(absolute(root)?);
        let identity = match Identity::read(&paths.identity())? {
            Some(identity) => identity,
            None => lost_identity(&paths)?,
        };
        StateDir::with_origin(paths, identity, disk, clock)
    }

    /// Opens an existing directory, for a process that puts something in.
    pub(crate) fn open_to_write(root: &Path, disk: Disk, clock: Clock) -> Result<StateDir, StateError> {
        let dir = StateDir::open(root, disk, clock)?;
        dir.about_to_write()?;
        Ok(dir)
    }

    /// For a process that puts something in, after it has opened the directory.
    pub(crate) fn about_to_write(&self) -> Result<(), DiskError> {
        self.sync_identity(&self.paths.queue_log())
    }

    /// Opens one, creating it when there is none. Several processes may do so at once.
    pub fn open_or_create(root: &Path, disk: Disk, clock: Clock) -> Result<StateDir, StateError> {
        match StateDir::open_to_write(root, disk.clone(), clock.clone()) {
            Err(StateError::Missing { .. }) => create(root, disk, clock),
            opened => opened,
        }
    }

    /// Checks whether [`StateDir::open_or_create`] could create a directory where there is none; changes nothing.
    ///
    /// # Errors
    /// [`StateError::NotEmpty`] for a folder with other files; see [`StateError`].
    pub fn check_can_create(root: &Path) -> Result<(), StateError> {
        match check_folder(root) {
            Err(StateError::Missing { .. }) => check_way_to(root),
            other => {
                other.and_then(|()| check_way_to(root)).and_then(|()| check_that_nobody_lives_there(root))
            }
        }
    }

    /// Tries out the abilities of the file system, before anything relies on them.
    ///
    /// # Errors
    /// [`StateError::Unfit`] with the missing ability; [`StateError::Apart`].
    pub fn check_abilities(&self) -> Result<(), StateError> {
        let root = self.paths.root();
        // A folder that cannot be examined is reported by the code that needs it.
        let is_apart = |folder: &PathBuf| is_on_one_mount(root, folder).is_ok_and(|is_so| !is_so);
        if let Some(path) = self.paths.folders().into_iter().find(is_apart) {
            return Err(StateError::Apart { path, root: root.to_owned() });
        }
        check_abilities(&self.disk, self.paths.root())
    }

    /// Records durably that the state directory has this version's layout. The caller has made it so.
    ///
    /// # Errors
    /// [`StateError::Newer`] when a later version raised the layout first; see [`StateError`].
    pub fn raise_layout(&self) -> Result<(), StateError> {
        let _changing = FileLock::acquire(&self.disk, &self.paths.state_lock(), LOCK_WAIT)?;
        match Identity::read(&self.paths.identity())? {
            Some(identity) if identity.layout < LAYOUT_VERSION => {
                identity.raised().write(&self.disk, &self.paths.identity())
            }
            _ => Ok(()),
        }
    }

    /// Records durably that no job has the server's files about its attempts in its workspace any more. The
    /// caller has made it so.
    pub(crate) fn attempts_are_moved(&self) -> Result<(), StateError> {
        let _changing = FileLock::acquire(&self.disk, &self.paths.state_lock(), LOCK_WAIT)?;
        match Identity::read(&self.paths.identity())? {
            Some(identity) if identity.moving_attempts => {
                Identity { moving_attempts: false, ..identity }.write(&self.disk, &self.paths.identity())
            }
            _ => Ok(()),
        }
    }

    /// Makes the folder for the server's files about a job's attempts, unless it exists.
    #[track_caller]
    pub(crate) fn ensure_attempts(&self, paths: &JobPaths) -> Result<(), DiskError> {
        if !paths.attempts.is_dir() {
            // The job may have removed more than its own files.
            self.disk.ensure_dir(super::paths::above(&paths.attempts))?;
            self.disk.ensure_dir(&paths.attempts)?;
        }
        Ok(())
    }

    /// As [`StateDir::ensure_attempts`], for files that need not survive a power loss.
    #[track_caller]
    pub(crate) fn ensure_attempts_for_this_boot(&self, paths: &JobPaths) -> Result<(), DiskError> {
        if !paths.attempts.is_dir() {
            // The job may have removed more than its own files.
            self.disk.ensure_dir_for_this_boot(super::paths::above(&paths.attempts))?;
            self.disk.ensure_dir_for_this_boot(&paths.attempts)?;
        }
        Ok(())
    }

    /// Call this before a log is first opened, and before the identity is given out: the writer of `state.json`
    /// may have been killed before its name was durable, and with another identity the log would seem to belong
    /// to another directory. Where the log has its page, a process has done this before.
    pub(crate) fn sync_identity(&self, log: &Path) -> Result<(), DiskError> {
        if log.join("commit.page").exists() { Ok(()) } else { self.disk.sync_dir(self.paths.root()) }
    }

    /// The options with which a log of this state directory is opened. `epoch` is the boot within which its
    /// shared page may be believed; a segment is as large as `segment_bytes`, or as the directory's when that is
    /// less. No room is reserved, and numbers begin with 1.
    pub(crate) fn log_options(
        &self,
        folder: PathBuf,
        name: &'static str,
        epoch: String,
        segment_bytes: u64,
    ) -> LogOptions {
        let clock = self.clock.clone();
        LogOptions {
            folder,
            name,
            state_id: self.identity.state_id.to_string(),
            epoch,
            segment_bytes: segment_bytes.min(self.segment_bytes),
            preallocate: false,
            min_next_seq: 1,
            lock_wait: self.lock_wait,
            quarantine: self.quarantine(),
            stamp: Arc::new(move || clock.now().to_string()),
        }
    }

    /// The quarantine of this state directory.
    pub fn quarantine(&self) -> Quarantine {
        Quarantine::new(self.disk.clone(), self.paths.quarantine())
    }
}

fn check_abilities(disk: &Disk, root: &Path) -> Result<(), StateError> {
    let unfit = |Unable { what, source }| StateError::Unfit { path: root.to_owned(), what, source };
    try_abilities(disk, root).map_err(unfit)
}

fn absolute(root: &Path) -> Result<PathBuf, StateError> {
    Ok(std::path::absolute(root).context("find the path of", root)?)
}

fn check_way_to(root: &Path) -> Result<(), StateError> {
    check_way(root).map_err(|exposed| StateError::Changeable { path: root.to_owned(), exposed })
}

/// Checks that its own folders belong to this user too, even those that are links to other places.
fn check_own_folders(paths: &StatePaths) -> Result<(), StateError> {
    let check = |folder: PathBuf| {
        let Ok(found) = std::fs::symlink_metadata(&folder) else { return Ok(()) };
        if !found.is_symlink() {
            return check_file(&folder, &found);
        }
        check_way(&folder)?;
        std::fs::metadata(&folder).map_or(Ok(()), |led_to| check_file(&folder, &led_to))
    };
    let mut folders = paths.folders().into_iter().chain(paths.kept_elsewhere());
    let exposed = |exposed| StateError::Changeable { path: paths.root().to_owned(), exposed };
    folders.try_for_each(check).map_err(exposed)
}

fn check_folder(root: &Path) -> Result<(), StateError> {
    let missing = |why| StateError::Missing { path: root.to_owned(), why };
    let metadata = match std::fs::metadata(root) {
        Ok(m) => m,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(missing("it does not exist")),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            return Err(StateError::NotAFolder { path: root.to_owned() });
        }
        Err(e) => return Err(e).context("look at", root).map_err(StateError::from),
    };
    if !metadata.is_dir() {
        return Err(StateError::NotAFolder { path: root.to_owned() });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    let stranger = metadata.uid() != rustix::process::geteuid().as_raw() && metadata.uid() != 0;
    if mode & 0o022 != 0 || stranger {
        let path = root.to_owned();
        // An empty folder of another user cannot be a state directory of this user in any case.
        return Err(StateError::Exposed { path, mode, owner: metadata.uid() });
    }
    Ok(())
}

/// Handles a missing `state.json`: nothing was ever made here, or the file was lost.
fn lost_identity(paths: &StatePaths) -> Result<Identity, StateError> {
    let path = paths.root().to_owned();
    if !holds_state(paths)? {
        return Err(StateError::Missing { path, why: "it has no state.json" });
    }
    // The identity is written before anything else. If it exists now, another process created and used the state
    // directory since the first check.
    Identity::read(&paths.identity())?.ok_or(StateError::IdentityLost { path })
}

/// Whether one of the directory's folders holds anything but these folders: only a finished state directory does.
fn holds_state(paths: &StatePaths) -> Result<bool, StateError> {
    let folders = paths.folders();
    for folder in &folders {
        let names = entries(folder)?;
        if names.iter().any(|name| !folders.contains(&folder.join(name))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The names in a folder; empty when there is no such folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<OsString>, StateError> {
    let listed = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.and_then(|names| names.map(|n| n.map(|n| n.file_name())).collect()),
    };
    Ok(listed.context("list", folder)?)
}

/// Refuses a folder with anything in it that an interrupted creation would not have left.
fn check_that_nobody_lives_there(root: &Path) -> Result<(), StateError> {
    match entries(root)?.iter().find(|name| !StatePaths::is_known_at_top(name)) {
        Some(stranger) => {
            let found = stranger.to_string_lossy().into_owned();
            Err(StateError::NotEmpty { path: root.to_owned(), found })
        }
        None => Ok(()),
    }
}

fn create(root: &Path, disk: Disk, clock: Clock) -> Result<StateDir, StateError> {
    check_way_to(root)?;
    let missing = missing_ancestors(root);
    // Folders are made one after the other: the innermost existing one may come from a process that died before
    // the name was durable. A folder that other users may list was not made by this function.
    let innermost = missing.first().map_or(root, PathBuf::as_path).parent();
    if let Some(around) = innermost.and_then(Path::parent).filter(|a| !a.as_os_str().is_empty()) {
        match disk.sync_dir(around) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    for ancestor in missing {
        disk.ensure_dir(&ancestor)?;
    }
    let is_new = disk.ensure_dir(root)?;
    check_folder(root)?;
    // Another user may have made one of the folders in the meantime.
    check_way_to(root)?;
    let paths = StatePaths::new(absolute(root)?);
    check_that_nobody_lives_there(paths.root())?;
    if let Err(unfit) = check_abilities(&disk, root) {
        if is_new {
            // If nothing can be created, leave nothing behind.
            let _ = disk.remove_dir(root);
        }
        return Err(unfit);
    }
    let making = FileLock::acquire(&disk, &paths.state_lock(), LOCK_WAIT)?;
    if Identity::read(&paths.identity())?.is_some() {
        // Another process has created it. All processes that waited for that continue at once: one after the
        // other, each with its syncs, the last of many would wait too long.
        drop(making);
        return StateDir::open_to_write(root, disk, clock);
    }
    disk.ensure_dirs(&paths.folders())?;
    // The identity comes last: when it exists, so do the folders.
    let identity = Identity::new(clock.now());
    let place = FolderId::of(paths.root())?;
    record_here(&paths, &identity, &place, clock.now(), None).write(&disk, &paths)?;
    identity.write(&disk, &paths.identity())?;
    StateDir::with_origin(paths, identity, disk, clock)
}

fn missing_ancestors(root: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> = root
        .ancestors()
        .skip(1)
        .take_while(|a| !a.as_os_str().is_empty() && !a.exists())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    missing
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use std::fs;

    use super::*;

    fn make(root: &Path) -> Result<StateDir, StateError> {
        StateDir::open_or_create(root, Disk::real(), Clock::system())
    }

    fn open(root: &Path) -> Result<StateDir, StateError> {
        StateDir::open(root, Disk::real(), Clock::system())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn create_is_private_and_found_again() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("a/b/state");
        assert!(matches!(open(&root), Err(StateError::Missing { .. })));
        let made = make(&root).unwrap();
        assert_eq!(open(&root).unwrap().identity, made.identity);
        assert_eq!(make(&root).unwrap().identity, made.identity);
        assert_eq!(mode(&root), 0o700);
        assert_eq!(mode(&made.paths.queue_log()), 0o700);
        assert_eq!(mode(&made.paths.identity()), 0o600);
    }

    #[test]
    fn create_concurrently_makes_one() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("state");
        let ids: std::collections::BTreeSet<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| make(&root).unwrap())).collect();
            makers.into_iter().map(|m| m.join().unwrap().identity.state_id).collect()
        });
        assert_eq!(ids.len(), 1);
    }

    #[test]
    fn create_refuses_folder_with_files() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join("thesis.txt"), "years of work").unwrap();
        let Err(StateError::NotEmpty { found, .. }) = make(temporary.path()) else { panic!() };
        assert_eq!(found, "thesis.txt");
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
    }

    #[test]
    fn create_completes_after_interruption() {
        let steps = StatePaths::new(PathBuf::from("/")).folders().len();
        for made in 0..=steps {
            let temporary = tempfile::tempdir().unwrap();
            let root = temporary.path().join("state");
            let disk = Disk::real();
            disk.create_dir(&root).unwrap();
            fs::write(root.join("state.lock"), "").unwrap();
            fs::write(root.join(".tmp-Ab3x"), "{\"lay").unwrap();
            for folder in StatePaths::new(root.clone()).folders().iter().take(made) {
                disk.create_dir(folder).unwrap();
            }
            assert!(matches!(open(&root), Err(StateError::Missing { .. })), "{made}");
            assert_eq!(make(&root).unwrap().identity, open(&root).unwrap().identity);
        }
    }

    #[test]
    fn open_does_not_replace_lost_identity() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("state");
        let made = make(&root).unwrap();
        fs::write(made.paths.queue_log().join("0001.log"), "records").unwrap();
        fs::write(made.paths.identity(), "").unwrap();
        assert!(matches!(make(&root), Err(StateError::Damaged { .. })));
        fs::remove_file(made.paths.identity()).unwrap();
        assert!(matches!(open(&root), Err(StateError::IdentityLost { .. })));
        assert!(matches!(make(&root), Err(StateError::IdentityLost { .. })));
    }

    #[test]
    fn open_refuses_writable_by_others_and_non_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("state");
        make(&root).unwrap();
        for exposed in [0o777, 0o770, 0o702] {
            fs::set_permissions(&root, fs::Permissions::from_mode(exposed)).unwrap();
            assert!(matches!(open(&root), Err(StateError::Exposed { .. })), "{exposed:o}");
        }
        let file = temporary.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(make(&file), Err(StateError::NotAFolder { .. })));
        assert!(matches!(make(&file.join("below")), Err(StateError::NotAFolder { .. })));
    }
}
