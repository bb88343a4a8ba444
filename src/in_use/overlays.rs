//! Overlays: a mount that shows the files of other folders, which it names as they were called when it was mounted.
//!
//! Nothing tells from which root and working directory these names lead. So each is followed in every root directory
//! that a process has, those first that see the overlay, a relative one from each folder above the other layers and
//! above the mount point; and what is found is compared by device and inode. A name that leads nowhere (its mount or
//! its link is gone, its working directory is not known) may be of any folder, and protects all, unless something
//! tells that it lies elsewhere: as far as it leads it is on a file system without workspaces, or where this user may
//! not go; or the overlay is the file system of all workspaces, which is no layer of its own, or this process's root
//! directory, which was there before. An engine's
//! overlays are found, or lie elsewhere by that.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::answer::How;
use super::mounts::{Mount, MountTable, Seen};
use super::picture::{By, Picture, Reference, Roots};
use super::way::Ways;

/// An overlay, in whichever namespaces it is mounted.
#[derive(Debug)]
struct Overlay {
    device: u64,
    layers: Vec<PathBuf>,
    pid: u32,
    /// Who sees it, by their folders in `/proc`, and where.
    seen_by: Vec<(PathBuf, PathBuf)>,
}

/// What a process has of a mount that its own table does not have.
#[derive(Debug)]
struct Stray {
    pid: u32,
    mount: u64,
    device: u64,
    name: PathBuf,
}

/// All that were seen.
#[derive(Debug, Default)]
pub(super) struct Overlays {
    by_layers: HashMap<(u64, Vec<PathBuf>), Overlay>,
    mounts: HashSet<u64>,
    devices: HashSet<u64>,
    strays: Vec<Stray>,
}

/// What is known of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lies {
    /// Noted, or certainly elsewhere.
    Known,
    /// Its name leads nowhere, and does not show where it led.
    Nowhere,
}

impl Overlays {
    /// A mount that a process sees, overlay or not.
    pub(super) fn note(&mut self, pid: u32, folder: &Path, mount: &Mount) {
        self.mounts.insert(mount.id);
        self.devices.insert(mount.device);
        let layers = mount.layers();
        if layers.is_empty() {
            return;
        }
        let new = || Overlay { device: mount.device, layers: layers.clone(), pid, seen_by: Vec::new() };
        let overlay = self.by_layers.entry((mount.device, layers.clone())).or_insert_with(new);
        overlay.seen_by.push((folder.to_owned(), mount.point.clone()));
    }

    /// Something that a process has of a mount which its table does not have: one of another namespace or outside of
    /// its root directory, or one that is mounted nowhere any more.
    pub(super) fn stray(&mut self, pid: u32, seen: &Seen, name: &Path) {
        // What lies on a disk is known by its device. An overlay has none, as all that is not on a disk.
        let is_on_disk = seen.device >> 32 != 0;
        if let Some(mount) = seen.mount.filter(|_| !is_on_disk) {
            self.strays.push(Stray { pid, mount, device: seen.device, name: name.to_owned() });
        }
    }

    pub(super) fn place_in(self, picture: &mut Picture, roots: &Roots) {
        for overlay in self.by_layers.values() {
            if picture.areas.are_all_on(overlay.device) || picture.own.is_root(overlay.device) {
                continue;
            }
            let mut lost = overlay.layers.iter();
            let lost = lost.find(|layer| overlay.place(picture, roots, layer) == Lies::Nowhere);
            if let Some(layer) = lost {
                let (_, point) = &overlay.seen_by[0];
                picture.unknown.push(format!(
                    "process {} sees an overlay at {} with the layer {}, which cannot be found: it may be in it",
                    overlay.pid,
                    point.display(),
                    layer.display()
                ));
            }
        }
        let lost = self
            .strays
            .iter()
            .find(|stray| !self.mounts.contains(&stray.mount) && !self.devices.contains(&stray.device));
        if let Some(Stray { pid, name, .. }) = lost {
            picture.unknown.push(format!(
                "process {pid} uses {} of a file system that is mounted nowhere any more: it may be an overlay of it",
                name.display()
            ));
        }
    }
}

impl Overlay {
    fn place(&self, picture: &mut Picture, roots: &Roots, layer: &Path) -> Lies {
        let names = self.names(layer);
        let is_own = |folder: &Path| self.seen_by.iter().any(|(own, _)| own == folder);
        let (own, others): (Vec<_>, Vec<_>) = roots.iter().partition(|(folder, _)| is_own(folder));
        let mut is_elsewhere = false;
        for roots in [own, others] {
            for (folder, table) in roots {
                let (found, elsewhere) = self.place_by(picture, folder, table, &names);
                if found {
                    return Lies::Known;
                }
                is_elsewhere |= elsewhere;
            }
            if is_elsewhere && layer.is_absolute() {
                return Lies::Known;
            }
        }
        Lies::Nowhere
    }

    /// Whether one of these names leads to something, which is noted; and whether one leads away.
    fn place_by(
        &self,
        picture: &mut Picture,
        folder: &Path,
        table: &Rc<MountTable>,
        names: &[PathBuf],
    ) -> (bool, bool) {
        let is_remote = |path: &Path| table.is_remote(path).is_some();
        let mut ways = Ways::new(folder.join("root"), &is_remote);
        let mut leads_away = false;
        for name in names {
            let way = ways.follow(name);
            let reference = || Reference { by: By::Process(self.pid), how: How::Mounted, name: name.clone() };
            let Some(seen) = way.end else {
                let device = way.last.and_then(|last| table.get(last.mount?)).map(|mount| mount.device);
                leads_away |= way.is_closed || device.is_some_and(|device| picture.areas.exclude(device));
                continue;
            };
            match table.locate(&seen, &way.real) {
                Some(place) if picture.areas.have(&place) => picture.place(place, reference()),
                Some(_) if picture.areas.are_all_placed() => {}
                _ => drop(picture.unplaced.entry((seen.device, seen.inode)).or_insert_with(reference)),
            }
            return (true, false);
        }
        (false, leads_away)
    }

    /// What a layer may be called from a root directory.
    fn names(&self, layer: &Path) -> Vec<PathBuf> {
        if layer.is_absolute() {
            return vec![layer.to_owned()];
        }
        let points = self.seen_by.iter().map(|(_, point)| point);
        let beside = self.layers.iter().filter(|layer| layer.is_absolute()).chain(points);
        let mut names: Vec<PathBuf> = Vec::new();
        for base in beside.flat_map(|path| path.ancestors().skip(1)) {
            let name = base.join(layer);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}
