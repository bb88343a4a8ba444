//! Determines the origin of a directory when it is opened, and records changes: that it was moved, that a backup
//! was restored, that it is a directory of its own now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

use super::directory::{LOCK_WAIT, SEGMENT_BYTES, StateDir};
use super::error::StateError;
use super::folder_id::{
    CopiedFrom, DirectoryOrigin, FolderId, FolderRecord, Past, Restored, StateStamp, next_incarnation,
    origin_of, record_here,
};
use super::identity::Identity;
use super::paths::StatePaths;
use crate::durable::log::{self, Position, ReadRequest};
use crate::durable::{Disk, FileLock, Home, IoContext};
use crate::system::clock::Clock;

impl StateDir {
    /// The directory with its origin; see [`super::folder_id`] for the rules. Changes are recorded where that
    /// is possible: a disk that cannot be written keeps no process from reading.
    pub(super) fn with_origin(
        paths: StatePaths,
        identity: Identity,
        disk: Disk,
        clock: Clock,
    ) -> Result<StateDir, StateError> {
        let is_of_layout_2 = identity.may_have_attempts_in_workspaces();
        let paths = if is_of_layout_2 { paths.of_layout_2() } else { paths };
        let home = Home::open(paths.root()).context("look at", paths.root())?;
        let place = FolderId::of(paths.root())?;
        let record = FolderRecord::read(&paths.place());
        let origin = origin_of(&paths, &identity, &place, record.as_ref());
        let past = record.filter(|r| r.state_id == identity.state_id).map(|r| r.past()).unwrap_or_default();
        let home = match &origin {
            DirectoryOrigin::Copied { of, .. } => home.copy_of(of.clone()),
            _ => home,
        };
        let disk = disk.at_home(home);
        let (lock_wait, segment_bytes) = (LOCK_WAIT, SEGMENT_BYTES);
        let has_survivors = Arc::new(AtomicBool::new(may_survive(&past)));
        let mut dir = StateDir {
            paths,
            identity,
            place,
            origin,
            past,
            has_survivors,
            disk,
            clock,
            lock_wait,
            segment_bytes,
        };
        match dir.origin {
            DirectoryOrigin::Own | DirectoryOrigin::Copied { .. } => {}
            DirectoryOrigin::Unrecorded | DirectoryOrigin::Restored { .. } => match dir.write_down() {
                Err(e) if !is_refusal(&e) => return Err(e),
                // A process that only reads can go on; one that acts calls `record_restore`.
                _ => {}
            },
        }
        Ok(dir)
    }

    /// Records that a backup was restored, where that was not possible when the directory was opened. Until
    /// then the directory passes for the lost incarnation, so call this before judging or starting anything.
    pub fn record_restore(&mut self) -> Result<(), StateError> {
        match self.origin {
            DirectoryOrigin::Restored { .. } => self.write_down().map_err(|e| self.not_noted(e)),
            DirectoryOrigin::Own | DirectoryOrigin::Unrecorded | DirectoryOrigin::Copied { .. } => Ok(()),
        }
    }

    fn not_noted(&self, why: StateError) -> StateError {
        StateError::NotNoted { path: self.paths.root().to_owned(), source: Box::new(why) }
    }

    /// Records the folder as it is now, under the lock of the identity: another process may have recorded it
    /// first.
    fn write_down(&mut self) -> Result<(), StateError> {
        let _changing = FileLock::acquire(&self.disk, &self.paths.state_lock(), LOCK_WAIT)?;
        if let Some(identity) = Identity::read(&self.paths.identity())? {
            self.identity = identity;
        }
        let before = FolderRecord::read(&self.paths.place());
        if before.is_none() && self.paths.place().is_file() {
            let (why, at) = ("the record of which folder this is cannot be understood", self.clock.now());
            self.quarantine().keep_file(&self.paths.place(), why, &at.to_string())?;
        }
        self.origin = origin_of(&self.paths, &self.identity, &self.place, before.as_ref());
        let now = self.clock.now();
        let mut record = record_here(&self.paths, &self.identity, &self.place, now, before);
        match &self.origin {
            DirectoryOrigin::Own | DirectoryOrigin::Copied { .. } => return Ok(()),
            DirectoryOrigin::Unrecorded => {}
            DirectoryOrigin::Restored { why } => {
                super::shared_files::unshare(&self.disk, &self.paths)?;
                record.restored = Some(self.restored_now(why));
                self.begin_incarnation(&mut record)?;
            }
        }
        record.write(&self.disk, &self.paths)?;
        self.remember(record.past());
        self.origin = DirectoryOrigin::Own;
        Ok(())
    }

    fn remember(&mut self, past: Past) {
        self.has_survivors.store(may_survive(&past), Ordering::Relaxed);
        self.past = past;
    }

    fn restored_now(&self, why: &str) -> Restored {
        Restored {
            at: self.clock.now(),
            from_incarnation: self.identity.incarnation,
            log_end: self.end_of_the_log(),
            why: why.to_owned(),
            is_told: false,
            has_survivors: true,
        }
    }

    /// The number of the last record that the queue's log, or a snapshot, has.
    pub(crate) fn end_of_the_log(&self) -> u64 {
        let (folder, id) = (self.paths.queue_log(), self.identity.state_id.to_string());
        let request =
            ReadRequest { folder: &folder, state_id: Some(&id), from: Position::default(), until: None };
        let read = log::read(request, |_, _| ()).map_or(0, |summary| summary.position.last_seq);
        let names = super::directory::entries(&self.paths.queue()).unwrap_or_default();
        let digits = |name: std::ffi::OsString| {
            name.to_str()?.chars().filter(char::is_ascii_digit).collect::<String>().parse::<u64>().ok()
        };
        let snapshots = names.into_iter().filter(|name| name.as_encoded_bytes().starts_with(b"snapshot"));
        snapshots.filter_map(digits).max().unwrap_or(0).max(read)
    }

    /// The stamp of things that belong to this directory as it is now.
    pub(crate) fn stamp(&self) -> StateStamp {
        let FolderId { device, inode, .. } = self.place;
        StateStamp { state_id: self.identity.state_id, incarnation: self.identity.incarnation, device, inode }
    }

    /// Whether a file of an attempt with this stamp belongs to the claim that it names: before a backup was put
    /// back, the same numbers were given to other claims.
    pub(crate) fn is_of_our_time(&self, claim: u64, stamp: Option<&StateStamp>) -> bool {
        let Some(restored) = &self.past.restored else { return true };
        let is_present = stamp.is_some_and(|stamp| stamp.incarnation == self.identity.incarnation);
        is_present == (claim > restored.log_end)
    }

    /// Whether something with this stamp was begun by another incarnation of this directory.
    pub(crate) fn is_of_other_incarnation(&self, stamp: Option<&StateStamp>) -> bool {
        match (stamp, &self.past.restored) {
            (Some(stamp), _) => stamp.incarnation != self.identity.incarnation,
            (None, restored) => restored.is_some(),
        }
    }

    /// Whether processes of another incarnation of this directory may live.
    pub fn may_have_survivors(&self) -> bool {
        self.past.restored.is_some() && self.has_survivors.load(Ordering::Relaxed)
    }

    /// The identity is written first: if a kill prevents the folder's record, just one more incarnation begins.
    fn begin_incarnation(&mut self, record: &mut FolderRecord) -> Result<(), StateError> {
        let incarnation = next_incarnation(self.paths.root(), &self.identity, self.clock.now());
        let identity = Identity { incarnation, ..self.identity.clone() };
        identity.write(&self.disk, &self.paths.identity())?;
        record.incarnation = incarnation;
        self.identity = identity;
        Ok(())
    }

    /// Whether this directory is a copy that was not adopted as a directory of its own.
    pub fn is_copy(&self) -> bool {
        matches!(self.origin, DirectoryOrigin::Copied { .. })
    }

    /// Begins a new incarnation, because something shows that the files went back in time: processes and files of
    /// the lost time are then no longer taken for this directory's.
    pub fn note_restored(&mut self, why: &str) -> Result<(), StateError> {
        let noted = self.change_record(|dir, record| {
            record.restored = Some(dir.restored_now(why));
            dir.begin_incarnation(record)
        });
        noted.map_err(|e| self.not_noted(e))
    }

    /// Records that a recovery has reported the restore, and whether processes of another incarnation are left.
    pub fn note_told(&mut self, has_survivors: bool) -> Result<(), StateError> {
        if self.past.restored.as_ref().is_none_or(|r| r.is_told && r.has_survivors == has_survivors) {
            return Ok(());
        }
        self.change_record(|_, record| {
            if let Some(restored) = &mut record.restored {
                (restored.is_told, restored.has_survivors) = (true, has_survivors);
            }
            Ok(())
        })
    }

    /// A writable handle of the same directory, when it is a copy, for its adoption.
    pub(crate) fn to_be_adopted(&self) -> Option<StateDir> {
        let DirectoryOrigin::Copied { .. } = &self.origin else { return None };
        let home = Home::open(self.paths.root()).ok()?;
        let disk = self.disk.clone().at_home(home);
        Some(StateDir { disk, ..self.clone() })
    }

    /// Gives a copy that was made of hard links files of its own in place of those that are written in place. The
    /// caller holds [`StateDir::lock_identity`].
    ///
    /// # Errors
    /// The system's error; the next call continues.
    pub(crate) fn unshare_files(&self) -> Result<(), StateError> {
        Ok(super::shared_files::unshare(&self.disk, &self.paths)?)
    }

    /// Keeps other processes from making or repairing the identity.
    pub(crate) fn lock_identity(&self) -> Result<FileLock, StateError> {
        Ok(FileLock::acquire(&self.disk, &self.paths.state_lock(), LOCK_WAIT)?)
    }

    /// The new id of a copy, derived from the original's id and from its own folder, so that each try gives
    /// the same one. It is recorded before anything uses it, together with those of all earlier tries,
    /// because this may be a copy of a copy that was half adopted.
    pub(crate) fn begin_adoption(&self) -> Result<(Uuid, Vec<Uuid>), StateError> {
        let FolderId { device, inode, born, .. } = &self.place;
        let name = format!("{device}:{inode}:{}", born.as_deref().unwrap_or_default());
        let id = Uuid::new_v5(&self.identity.state_id, name.as_bytes());
        let Some(mut record) = FolderRecord::read(&self.paths.place()) else { return Ok((id, vec![id])) };
        if !record.adopting.contains(&id) {
            record.adopting.push(id);
            record.write(&self.disk, &self.paths)?;
        }
        Ok((id, record.adopting))
    }

    /// Writes the identity of a copy that is another state directory from now on. The caller has given its logs
    /// the new id, and holds [`StateDir::lock_identity`].
    pub(crate) fn become_another(&mut self, state_id: Uuid) -> Result<(), StateError> {
        let DirectoryOrigin::Copied { of, .. } = self.origin.clone() else { return Ok(()) };
        let (original, now) = (self.identity.state_id, self.clock.now());
        let incarnation = next_incarnation(self.paths.root(), &self.identity, now);
        let identity = Identity { state_id, incarnation, ..self.identity.clone() };
        let mut record = record_here(&self.paths, &identity, &self.place, now, None);
        record.copied_from = Some(CopiedFrom { path: of, state_id: original, at: now });
        identity.write(&self.disk, &self.paths.identity())?;
        record.write(&self.disk, &self.paths)?;
        (self.identity, self.origin) = (identity, DirectoryOrigin::Own);
        self.remember(record.past());
        Ok(())
    }

    fn change_record(
        &mut self,
        change: impl FnOnce(&mut StateDir, &mut FolderRecord) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let _changing = FileLock::acquire(&self.disk, &self.paths.state_lock(), LOCK_WAIT)?;
        let before = FolderRecord::read(&self.paths.place());
        let mut record = record_here(&self.paths, &self.identity, &self.place, self.clock.now(), before);
        change(self, &mut record)?;
        record.write(&self.disk, &self.paths)?;
        self.remember(record.past());
        Ok(())
    }

    /// The same directory where its folder is now; `None` when it is where it was opened, or nowhere.
    pub fn followed(&self) -> Option<StateDir> {
        let home = self.disk.home().filter(|home| !home.is_at_its_path())?;
        let root = home.path_now()?;
        let disk = self.disk.clone().at_home(home.by_path(root.clone()));
        Some(StateDir { paths: StatePaths::new(root), disk, ..self.clone() })
    }

    /// Whether the files at its path are still of the identity and incarnation that it was opened with.
    pub fn is_still_itself(&self) -> bool {
        match Identity::read(&self.paths.identity()) {
            Ok(Some(now)) => {
                (now.state_id, now.incarnation) == (self.identity.state_id, self.identity.incarnation)
            }
            // The identity is lost or damaged: recovery writes it anew, with the same id.
            _ => true,
        }
    }

    /// Whether the identity on disk is exactly the one that was read at opening. Unlike for
    /// [`StateDir::is_still_itself`], an identity that was lost in the meantime is not unchanged.
    pub(crate) fn is_unchanged(&self) -> Result<bool, StateError> {
        Ok(Identity::read(&self.paths.identity())?.is_some_and(|now| now == self.identity))
    }

    /// The least fencing number of this incarnation: above every number that an earlier one can have given,
    /// because none has granted more than a thousand locks a second.
    pub(crate) fn fencing_floor(&self) -> u64 {
        match self.identity.incarnation {
            0 | 1 => 0,
            second => second.saturating_add(1).saturating_mul(1000),
        }
    }

    /// The mark in the environment of this directory's processes: its incarnation and its folder.
    pub fn mark(&self) -> String {
        format!("{}@{}", self.identity.incarnation, self.place.as_mark())
    }
}

fn may_survive(past: &Past) -> bool {
    past.restored.as_ref().is_some_and(|restored| restored.has_survivors)
}

/// Whether the disk, or the lock's holder, keeps this process from recording it: its next write will report that.
fn is_refusal(error: &StateError) -> bool {
    matches!(error, StateError::Disk(_) | StateError::Lock(_))
}
