//! Opening and making a state directory: permissions, layout, identity.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::clock::Clock;
use super::identity::{Identity, LAYOUT_VERSION};
use super::paths::StatePaths;
use crate::durable::{Disk, DiskError, FileLock, LockError, Quarantine, Tried};

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Nothing there, or a folder that holds no state.
    #[error("{} is no state directory: {why}", path.display())]
    Missing {
        /// What was named.
        path: PathBuf,
        /// What is there instead.
        why: &'static str,
    },
    /// Something other than a folder.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// What was named.
        path: PathBuf,
    },
    /// Somebody else could change it under us.
    #[error("{} can be written by other users (mode {mode:04o}, owner {owner})", path.display())]
    Exposed {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// Its owner's uid.
        owner: u32,
    },
    /// Made by a later version.
    #[error("{} has layout {layout}; this version knows up to {LAYOUT_VERSION}", path.display())]
    Newer {
        /// The identity file.
        path: PathBuf,
        /// Its layout.
        layout: u32,
    },
    /// The identity file cannot be understood.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The identity file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Somebody else is making it and does not finish.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// A state directory that was checked and opened. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StateDir {
    /// Where things are.
    pub paths: StatePaths,
    /// Which one it is.
    pub identity: Identity,
    /// The seam to the disk.
    pub disk: Disk,
    /// What time it is.
    pub clock: Clock,
    /// How long to wait for a lock that another process holds.
    pub lock_wait: Duration,
}

/// How long to wait for another process's lock unless told otherwise.
const LOCK_WAIT: Duration = Duration::from_secs(10);

impl StateDir {
    /// Opens one that exists.
    ///
    /// # Errors
    /// [`StateError::Missing`] when there is none; see [`StateError`].
    pub fn open(root: &Path, disk: Disk, clock: Clock) -> Result<StateDir, StateError> {
        check_folder(root)?;
        let paths = StatePaths::new(absolute(root)?);
        let identity = match Identity::read(&paths.identity())? {
            Some(identity) => identity,
            None => lost_identity(&paths)?,
        };
        Ok(StateDir { paths, identity, disk, clock, lock_wait: LOCK_WAIT })
    }

    /// Opens one, and makes it first when there is none. Several processes may do so at once.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open_or_create(root: &Path, disk: Disk, clock: Clock) -> Result<StateDir, StateError> {
        match StateDir::open(root, disk.clone(), clock.clone()) {
            Err(StateError::Missing { .. }) => create(root, disk, clock),
            other => other,
        }
    }

    /// The quarantine of this state directory.
    #[must_use]
    pub fn quarantine(&self) -> Quarantine {
        Quarantine::new(self.disk.clone(), self.paths.quarantine())
    }
}

fn absolute(root: &Path) -> Result<PathBuf, StateError> {
    Ok(std::path::absolute(root).tried("find the path of", root)?)
}

fn check_folder(root: &Path) -> Result<(), StateError> {
    let missing = |why| StateError::Missing { path: root.to_owned(), why };
    let metadata = match std::fs::metadata(root) {
        Ok(m) => m,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(missing("it does not exist")),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            return Err(StateError::NotAFolder { path: root.to_owned() });
        }
        Err(e) => return Err(e).tried("look at", root).map_err(StateError::from),
    };
    if !metadata.is_dir() {
        return Err(StateError::NotAFolder { path: root.to_owned() });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    let stranger = metadata.uid() != rustix::process::geteuid().as_raw() && metadata.uid() != 0;
    if mode & 0o022 != 0 || stranger {
        let path = root.to_owned();
        // An empty folder that a stranger owns is no state directory of ours either way.
        return Err(StateError::Exposed { path, mode, owner: metadata.uid() });
    }
    Ok(())
}

/// `state.json` is gone but the log is there: the id is in every segment's first line.
fn lost_identity(paths: &StatePaths) -> Result<Identity, StateError> {
    Err(StateError::Missing { path: paths.root().to_owned(), why: "it has no state.json" })
}

fn create(root: &Path, disk: Disk, clock: Clock) -> Result<StateDir, StateError> {
    for ancestor in missing_ancestors(root) {
        disk.ensure_dir(&ancestor)?;
    }
    disk.ensure_dir(root)?;
    check_folder(root)?;
    let paths = StatePaths::new(absolute(root)?);
    let folder_lock = paths.root().join("state.lock");
    let _making = FileLock::acquire(&disk, &folder_lock, LOCK_WAIT)?;
    if let Some(identity) = Identity::read(&paths.identity())? {
        return Ok(StateDir { paths, identity, disk, clock, lock_wait: LOCK_WAIT });
    }
    for folder in paths.folders() {
        disk.ensure_dir(&folder)?;
    }
    // The identity comes last: where it is, the folders are.
    let identity = Identity::new(clock.now());
    identity.write(&disk, &paths.identity())?;
    Ok(StateDir { paths, identity, disk, clock, lock_wait: LOCK_WAIT })
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
