//! Everything on this machine that may use a file of the state directory, at one moment.
//!
//! A used file is known by device and inode. Where the kernel's name for it provably leads to that inode, the
//! mount table gives its position in the file system: then one look-up in an ordered map answers for a folder,
//! and uses elsewhere are dropped at once. A use without such a name (a process in a root directory of its own, a
//! path that is too long, a removed name) is compared with every entry of the folder in question.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::AtFlags;

use super::answer::How;
use super::hidden::Hidden;
use super::mounts::{Location, MountTable, Seen, look};

/// Something that is used, and its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) by: By,
    pub(super) how: How,
    /// The name that it has for its user.
    pub(super) name: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum By {
    Process(u32),
    Kernel(String),
}

/// The places that contain all folders which are asked about.
#[derive(Debug, Default)]
pub(super) struct Areas {
    places: Vec<Location>,
    names: Vec<PathBuf>,
    devices: HashSet<u64>,
    /// Whether the location of all of them is known: only then can something be proven to lie elsewhere.
    are_placed: bool,
}

impl Areas {
    pub(super) fn new(folders: &[PathBuf], own: &MountTable) -> Areas {
        let mut areas = Areas { are_placed: true, ..Areas::default() };
        for folder in folders {
            let Ok(real) = std::fs::canonicalize(folder) else { continue };
            let place = look(&real, AtFlags::empty()).ok().and_then(|seen| own.locate(&seen, &real));
            areas.are_placed &= place.is_some();
            areas.devices.extend(place.as_ref().map(|place| place.device));
            areas.places.extend(place);
            areas.names.push(real);
        }
        areas
    }

    pub(super) fn have(&self, place: &Location) -> bool {
        self.places.iter().any(|area| place.is_within(area))
    }

    pub(super) fn have_named(&self, path: &Path) -> bool {
        self.names.iter().any(|area| path.starts_with(area))
    }

    /// Whether it can be excluded that something lies in any of them.
    pub(super) fn are_all_placed(&self) -> bool {
        self.are_placed
    }

    /// Whether a file system is certainly none of theirs.
    pub(super) fn exclude(&self, device: u64) -> bool {
        self.are_placed && !self.devices.contains(&device)
    }

    /// Whether all of them are on this one file system.
    pub(super) fn are_all_on(&self, device: u64) -> bool {
        self.are_placed && self.devices.iter().all(|&own| own == device)
    }

    /// Whether a device is a file system of theirs, as mount tables give it.
    pub(super) fn have_device(&self, device: u64) -> bool {
        self.devices.contains(&device)
    }
}

/// A process for each mount namespace and root directory, by its folder in `/proc`, with its mounts.
pub(super) type Roots = Vec<(PathBuf, Rc<MountTable>)>;

/// Result of entering a used file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entered {
    Noted,
    /// It is certainly not in the state directory.
    Elsewhere,
}

/// All uses that were found.
#[derive(Debug, Default)]
pub(super) struct Picture {
    pub(super) own: MountTable,
    pub(super) areas: Areas,
    /// By where it lies.
    pub(super) placed: BTreeMap<Location, Vec<Reference>>,
    /// By device and inode.
    pub(super) unplaced: HashMap<(u64, u64), Reference>,
    /// By inode, with the device that the mount table gives, which is not what stat(2) gives for every file.
    pub(super) inodes: HashMap<u64, (u64, Reference)>,
    /// Sockets bound by a name whose folder is unknown.
    pub(super) sockets: HashMap<OsString, Reference>,
    /// A socket that is bound by a name which leads nowhere: any socket file may belong to it.
    pub(super) lost_socket: Option<Reference>,
    /// Files behind loop devices of which only the last name is known.
    pub(super) backing: HashMap<OsString, Reference>,
    /// Names from mount options, perhaps of another namespace.
    pub(super) named: Vec<(PathBuf, Reference)>,
    /// Processes that this user may not examine.
    pub(super) hidden: Vec<Hidden>,
    /// Possible uses of any of the folders, in words.
    pub(super) unknown: Vec<String>,
    /// Why nothing is known.
    pub(super) blind: Option<String>,
}

impl Picture {
    /// Notes an unreadable source: it might show any use.
    pub(super) fn cannot_read(&mut self, path: &Path, error: &std::io::Error) {
        let why = format!("what is in use cannot be told: {} cannot be read: {error}", path.display());
        if !self.unknown.contains(&why) {
            self.unknown.push(why);
        }
    }

    /// Whether the entries of a folder must be walked to know its users.
    pub(super) fn needs_a_walk(&self) -> bool {
        !(self.unplaced.is_empty() && self.inodes.is_empty() && self.sockets.is_empty())
            || self.lost_socket.is_some()
            || !self.backing.is_empty()
    }

    /// Whether something that was seen by a process is on a file system without any of the areas.
    pub(super) fn is_elsewhere(&self, process: &Path, seen: &Seen) -> bool {
        let device_in = |table: &MountTable| table.get(seen.mount?).map(|mount| mount.device);
        let device = device_in(&self.own).or_else(|| device_in(&MountTable::of(process).ok()?));
        device.is_some_and(|device| self.areas.exclude(device))
    }

    /// Notes a use by its position, or by device and inode when that is unknown.
    pub(super) fn enter(&mut self, place: Option<Location>, seen: &Seen, reference: Reference) -> Entered {
        match place {
            Some(place) if self.areas.have(&place) => self.place(place, reference),
            Some(_) if self.areas.are_all_placed() => return Entered::Elsewhere,
            _ => drop(self.unplaced.entry((seen.device, seen.inode)).or_insert(reference)),
        }
        Entered::Noted
    }

    /// Notes something that lies in one of the areas.
    pub(super) fn place(&mut self, place: Location, reference: Reference) {
        let there = self.placed.entry(place).or_default();
        // One use of each kind at a position is enough to protect it.
        if !there.iter().any(|other| other.how == reference.how) {
            there.push(reference);
        }
    }

    /// The location of something that the process with this folder in `/proc` calls `name`; `None` when that is
    /// not proven.
    pub(super) fn locate(
        &self,
        process: &Path,
        table: &MountTable,
        seen: &Seen,
        name: &Path,
    ) -> Option<Location> {
        let below = name.strip_prefix("/").ok()?;
        let is_same = |there: &Seen| (there.device, there.inode) == (seen.device, seen.inode);
        // Try the process's own root directory, then this process's: the kernel gives paths as far as the reader
        // can reach them.
        let theirs = look(&process.join("root").join(below), AtFlags::SYMLINK_NOFOLLOW).ok();
        if let Some(there) = theirs.filter(is_same) {
            return table.locate(&there, name);
        }
        let ours = look(name, AtFlags::SYMLINK_NOFOLLOW).ok().filter(is_same)?;
        self.own.locate(&ours, name)
    }
}
