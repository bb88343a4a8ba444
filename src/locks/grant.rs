//! Granting a repository's lock and giving it back.
//!
//! Order of a grant: take the flock; judge by the metadata; write the fencing number and the grant into the lock
//! file and sync it; replace the metadata durably. Only then is the lock granted. Order of giving back: release
//! the metadata durably, then the flock. After a kill anywhere in between, the lock is either live (flock held),
//! or judged by the last metadata.
//!
//! Dropping a [`LockGrant`] without [`LockGrant::release`] acts like a crash: the flock is free and the metadata
//! still says held.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{info, warn};

use super::fencing;
use super::fencing_number::FencingNumber;
use super::metadata::{LockMetadata, LockState, MetadataRead, read_metadata, writing};
use super::request::{LockRefused, LockRequest};
use crate::durable::{DiskError, FileLock, LockError, error_chain};
use crate::logging::events;
use crate::state::{LockPaths, StateDir};
use crate::system::{ProcessIdentity, pids};

/// Processes that only read a lock hold its flock for less than this.
const OTHERS_LOOK: Duration = Duration::from_millis(300);

/// Why a lock could not be given back in order. It becomes free all the same once the process is gone, or once
/// the lock is judged stale.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GiveBackError {
    /// The metadata has another grant: a person or a program edited it.
    #[error("the lock of repository '{repository}' bears another id, {found}, instead of {ours}")]
    Foreign {
        repository: String,
        /// Our grant.
        ours: String,
        /// The grant in the metadata.
        found: String,
    },
    /// Descendants of the command have inherited the lock, as with flock(1), and keep it until they end.
    #[error(
        "the lock of repository '{repository}' stays with what its command left running: {}",
        named(processes)
    )]
    LeftRunning {
        repository: String,
        /// The processes that keep it, as far as they can be seen.
        processes: Vec<u32>,
    },
    /// A process of the command cannot be ended, and keeps the lock until it ends.
    #[error("{}", cannot_end(repository, processes))]
    CannotEnd {
        repository: String,
        /// The processes that keep it, as far as they can be seen.
        processes: Vec<u32>,
    },
    /// The metadata could not be replaced.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Another process held the `.writing` lock for the whole wait.
    #[error(transparent)]
    Lock(#[from] LockError),
}

fn named(processes: &[u32]) -> String {
    let pids: Vec<String> = processes.iter().take(8).map(u32::to_string).collect();
    if pids.is_empty() {
        "processes that cannot be seen".to_owned()
    } else {
        format!("process {}", pids.join(", "))
    }
}

fn cannot_end(repository: &str, processes: &[u32]) -> String {
    let pids: Vec<String> = processes.iter().map(u32::to_string).collect();
    let whose = format!("the lock of repository '{repository}'");
    match pids.as_slice() {
        [] => format!("processes that cannot be seen could not be ended and keep {whose} until they end"),
        [pid] => format!(
            "process {pid} cannot be ended and keeps {whose} until it ends; as a user who may: kill -KILL {pid}"
        ),
        _ => format!(
            "processes {} cannot be ended and keep {whose} until they end; as a user who may: kill -KILL {}",
            pids.join(", "),
            pids.join(" ")
        ),
    }
}

/// The processes that have a file open.
fn processes_with(file: &Path) -> Vec<u32> {
    let Ok(file) = std::fs::canonicalize(file) else { return Vec::new() };
    let entries = |folder: &str| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let has_it = |pid: &u32| {
        let mut open = entries(&format!("/proc/{pid}/fd"));
        open.any(|fd| std::fs::read_link(fd.path()).is_ok_and(|link| link == file))
    };
    pids().unwrap_or_default().into_iter().filter(has_it).collect()
}

/// The right to work on a repository, until it is given back or this process is gone.
#[derive(Debug)]
#[must_use = "dropping it is a crash: give it back with release()"]
pub struct LockGrant {
    /// The id of this grant.
    pub lock_id: String,
    /// Its fencing number: higher than that of every earlier grant.
    pub token: FencingNumber,
    metadata: LockMetadata,
    paths: LockPaths,
    dir: StateDir,
    flock: FileLock,
    /// A command has inherited the descriptor.
    is_shared: bool,
}

impl LockGrant {
    pub fn repository(&self) -> &str {
        &self.metadata.repository
    }

    /// Whether this grant took over the lock of a dead holder.
    pub fn took_over(&self) -> bool {
        self.metadata.recovered
    }

    /// Sets whether processes that this one starts from now on inherit the locked descriptor, and so keep the
    /// lock held.
    pub(super) fn share_with_children(&mut self, is_shared: bool) -> io::Result<()> {
        self.is_shared |= is_shared;
        self.flock.share_with_children(is_shared).map_err(|e| e.source)
    }

    /// Adds the command that runs under the lock to the metadata.
    pub(super) fn record_command(
        &mut self,
        command: Option<ProcessIdentity>,
        cgroup: Option<PathBuf>,
    ) -> Result<(), LockError> {
        (self.metadata.command, self.metadata.cgroup) = (command, cgroup);
        // After a forced release the metadata may belong to another grant.
        self.rewrite().map(drop)
    }

    /// Leaves the lock to processes that could not be ended: the metadata names them, as far as they are seen,
    /// and says held. Those that have inherited the descriptor have the flock, too.
    pub(super) fn leave_to(mut self, left: &[ProcessIdentity]) -> Result<(), GiveBackError> {
        let repository = self.repository().to_owned();
        self.metadata.left = left.to_vec();
        self.metadata.is_left_unseen = left.is_empty();
        let rewritten = self.rewrite();
        if self.is_shared {
            self.flock.leave_to_others();
        }
        match rewritten? {
            Rewritten::Done => {
                let processes = left.iter().map(|p| p.pid).collect();
                Err(GiveBackError::CannotEnd { repository, processes })
            }
            Rewritten::Released => Ok(()),
            Rewritten::Foreign(found) => {
                Err(GiveBackError::Foreign { repository, ours: self.lock_id, found })
            }
        }
    }

    /// Replaces the metadata, unless it belongs to another grant.
    fn rewrite(&self) -> Result<Rewritten, LockError> {
        let (dir, paths) = self.where_it_is();
        let _writing = writing(&dir.disk, &paths)?;
        match read_metadata(&paths.metadata, self.repository()) {
            MetadataRead::Whole(found) if found.lock_id != self.lock_id => {
                return Ok(Rewritten::Foreign(found.lock_id.clone()));
            }
            MetadataRead::Whole(found) if found.state != LockState::Held => return Ok(Rewritten::Released),
            // Damaged metadata makes the repository unavailable, which must stay so until it is repaired.
            MetadataRead::Damaged { .. } => return Ok(Rewritten::Done),
            MetadataRead::Whole(_) | MetadataRead::Missing => {}
        }
        self.metadata.write(&dir.disk, &paths.metadata)?;
        Ok(Rewritten::Done)
    }

    /// The paths at which the directory is now: it may have been moved, and another one may have its old path.
    fn where_it_is(&self) -> (StateDir, LockPaths) {
        let dir = self.dir.followed().unwrap_or_else(|| self.dir.clone());
        let paths = dir.paths.lock(self.repository()).unwrap_or_else(|_| self.paths.clone());
        (dir, paths)
    }

    /// Gives the lock back: the metadata says so durably before the flock is free.
    ///
    /// # Errors
    /// See [`GiveBackError`]; even then the flock is free, unless descendants keep it, while the metadata still
    /// says held.
    pub fn release(mut self) -> Result<(), GiveBackError> {
        let (repository, lock_id) = (self.repository().to_owned(), self.lock_id.clone());
        if self.is_shared {
            self = self.taken_anew()?;
        }
        let given_back = self.give_back();
        match &given_back {
            Ok(()) => info!(
                event = events::LOCK_RELEASED,
                repository, lock_id, "the lock of repository {repository} is given back"
            ),
            Err(e) => warn!(
                event = events::LOCK_RELEASED,
                repository,
                lock_id,
                "the lock of repository {repository} is not given back in order: {}",
                error_chain(e)
            ),
        }
        given_back
    }

    /// Takes the flock again, on a descriptor that no other process shares. The lock cannot be granted in
    /// between: this process lives, and the metadata names it.
    fn taken_anew(self) -> Result<LockGrant, GiveBackError> {
        // Use the directory's present path: at the old one there is nothing, or the lock of another directory.
        let (dir, paths) = self.where_it_is();
        let LockGrant { lock_id, token, metadata, flock, .. } = self;
        flock.leave_to_others();
        match FileLock::acquire(&dir.disk, &paths.flock, OTHERS_LOOK) {
            Ok(flock) => Ok(LockGrant { lock_id, token, metadata, paths, dir, flock, is_shared: false }),
            Err(LockError::Held { .. }) => {
                let repository = metadata.repository;
                Err(GiveBackError::LeftRunning { repository, processes: processes_with(&paths.flock) })
            }
            Err(LockError::Disk(e)) => Err(e.into()),
        }
    }

    fn give_back(self) -> Result<(), GiveBackError> {
        let (dir, paths) = self.where_it_is();
        // A forced release may come from a process without the flock: this lock orders the two writers.
        let _writing = writing(&dir.disk, &paths)?;
        let mut token = self.token;
        if let MetadataRead::Whole(found) = read_metadata(&paths.metadata, self.repository()) {
            if found.lock_id != self.lock_id {
                let repository = self.repository().to_owned();
                let (ours, found) = (self.lock_id, found.lock_id);
                return Err(GiveBackError::Foreign { repository, ours, found });
            }
            if found.state == LockState::Released {
                return Ok(()); // It was released by force; keep that note.
            }
            // A repair may have raised the number above all that can have been granted: it never falls.
            token = token.max(found.token);
        }
        let mut metadata = self.metadata.given_back(self.dir.clock.now());
        metadata.token = token;
        metadata.write(&dir.disk, &paths.metadata)?;
        // The flock goes last: a process that takes it finds the metadata released.
        drop(self.flock);
        Ok(())
    }
}

/// Result of replacing a grant's metadata.
enum Rewritten {
    /// The metadata is replaced, or it is damaged and makes the repository unavailable.
    Done,
    /// The grant was released by force: the metadata stays as it is.
    Released,
    /// The metadata belongs to this other grant.
    Foreign(String),
}

/// A grant that is being written, with the flock held.
pub(super) struct Granting<'a> {
    pub(super) dir: &'a StateDir,
    pub(super) repository: &'a str,
    pub(super) paths: &'a LockPaths,
    pub(super) request: &'a LockRequest<'a>,
}

impl Granting<'_> {
    pub(super) fn write(
        &self,
        flock: FileLock,
        old: &MetadataRead,
        taken_over: bool,
    ) -> Result<LockGrant, LockRefused> {
        let now = self.dir.clock.now();
        // The flock excludes other grants; this lock excludes a forced release.
        let _writing = writing(&self.dir.disk, self.paths).map_err(|e| self.writer_stuck(e))?;
        let last = fencing::last(fencing::read(flock.file())?, old, now);
        let token = last.next(self.dir.fencing_floor());
        let (holder, operation) = (self.request.holder.clone(), self.request.operation.clone());
        let mut metadata = LockMetadata::of_this_process(self.repository, token, holder, operation, now);
        metadata.recovered = taken_over;
        metadata.state_directory = Some(self.dir.stamp());
        if let Some(old) = old.whole().filter(|_| taken_over) {
            old.remove_group(&self.dir.identity.state_id.to_string());
        }
        fencing::write(flock.file(), &metadata)?;
        metadata.write(&self.dir.disk, &self.paths.metadata)?;
        Ok(LockGrant {
            lock_id: metadata.lock_id.clone(),
            token,
            metadata,
            paths: self.paths.clone(),
            dir: self.dir.clone(),
            flock,
            is_shared: false,
        })
    }

    fn writer_stuck(&self, e: LockError) -> LockRefused {
        match e {
            LockError::Disk(e) => LockRefused::Disk(e),
            LockError::Held { .. } => LockRefused::Unavailable {
                repository: self.repository.to_owned(),
                why: e.to_string(),
                evidence: Vec::new(),
            },
        }
    }
}
