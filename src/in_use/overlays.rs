//! Overlays: mounts that show the files of other folders, under the names that these had at mount time.
//!
//! The root and working directory to which these names are relative are not recorded. So each name is followed in
//! every root directory that a process has, starting with those that see the overlay, and a relative name from
//! each folder above the other layers and above the mount point; the results are compared by device and inode. A
//! name that leads nowhere (its mount or its link is gone, its working directory is unknown) may be in any
//! folder, and protects all, except in these cases:
//!
//! - as far as it leads, it is on a file system without workspaces;
//! - it leads to a place that this user may not enter, or to another host;
//! - the overlay is the file system of all workspaces, which is no layer of its own;
//! - the overlay is this process's root directory, which existed before.
//!
//! By these rules, an engine's overlays are found, or proven to be elsewhere.

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
    /// Whether a process that may be examined sees it.
    is_open: bool,
    /// The processes that see it, by their folders in `/proc`, with the mount points.
    seen_by: Vec<(PathBuf, PathBuf)>,
}

/// A process's use of a mount that its own table lacks.
#[derive(Debug)]
struct Stray {
    pid: u32,
    mount: u64,
    device: u64,
    name: PathBuf,
}

/// All overlays that were seen.
#[derive(Debug, Default)]
pub(super) struct Overlays {
    by_layers: HashMap<(u64, Vec<PathBuf>), Overlay>,
    mounts: HashSet<u64>,
    devices: HashSet<u64>,
    strays: Vec<Stray>,
}

/// Position of a layer, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lies {
    /// Noted, or certainly elsewhere.
    Known,
    /// Its name leads nowhere, and does not show where it led.
    Nowhere,
}

impl Overlays {
    /// A mount that a process sees, overlay or not.
    pub(super) fn note(&mut self, pid: u32, folder: &Path, mount: &Mount, is_open: bool) {
        self.mounts.insert(mount.id);
        self.devices.insert(mount.device);
        let layers = mount.layers();
        if layers.is_empty() {
            return;
        }
        let new = || Overlay {
            device: mount.device,
            layers: layers.clone(),
            pid,
            is_open: false,
            seen_by: Vec::new(),
        };
        let overlay = self.by_layers.entry((mount.device, layers.clone())).or_insert_with(new);
        overlay.is_open |= is_open;
        overlay.seen_by.push((folder.to_owned(), mount.point.clone()));
    }

    /// Notes a process's use of a mount that its table does not have: a mount of another namespace, outside of
    /// its root directory, or not mounted anywhere any more.
    pub(super) fn stray(&mut self, pid: u32, seen: &Seen, name: &Path) {
        // A file on a disk is known by its device. An overlay has no device of its own, like everything that is
        // not on a disk.
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
            // An overlay that only hidden processes see protects the folders that they may have entered.
            if let Some(layer) = lost.filter(|_| overlay.is_open) {
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

    /// Follows these names; whether one leads to something, which is noted, and whether one leads to another
    /// place.
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
            picture.enter(table.locate(&seen, &way.real), &seen, reference());
            return (true, false);
        }
        (false, leads_away)
    }

    /// Possible names of a layer from a root directory.
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

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests make their own files.
mod tests {
    use super::*;
    use crate::in_use::mounts::look;
    use crate::in_use::picture::Areas;

    /// The uses that an overlay with these layers has in the state directory `place/state`.
    fn seen(place: &Path, options: &str, device: &str) -> Picture {
        let own = || MountTable::of(Path::new("/proc/self")).unwrap();
        let folders = [place.join("state")];
        let mut picture = Picture { own: own(), areas: Areas::new(&folders, &own()), ..Picture::default() };
        let options = options.replace("PLACE", place.to_str().unwrap());
        let line = format!("900000 1 {device} / {}/m rw - overlay o rw,{options}", place.display());
        let table = MountTable::parse(line.as_bytes());
        let mut overlays = Overlays::default();
        overlays.note(7, Path::new("/proc/self"), &table.mounts[0], true);
        overlays.place_in(&mut picture, &vec![("/proc/self".into(), Rc::new(own()))]);
        picture
    }

    #[test]
    fn overlay_layer_found_or_unknown() {
        let place = tempfile::tempdir().unwrap();
        let place = std::fs::canonicalize(place.path()).unwrap();
        ["state/ghost/a:b,c", "elsewhere/lo", "u"].iter().for_each(|name| {
            std::fs::create_dir_all(place.join(name)).unwrap();
        });
        std::os::unix::fs::symlink(place.join("state/ghost"), place.join("link")).unwrap();
        let beside = "upperdir=PLACE/u,workdir=PLACE/u";
        for (lower, is_placed, is_unknown) in [
            ("PLACE/state/ghost", true, false),
            ("PLACE/link", true, false),
            ("PLACE/elsewhere:PLACE/link/a\\134:b\\134\\054c", true, false),
            // From an unknown working directory, found beside the others.
            ("state/ghost", true, false),
            ("elsewhere/lo", false, false),
            ("lo", false, true),
            ("PLACE/elsewhere", false, false),
            ("PLACE/gone/lo", false, true),
            // Below another file system.
            ("/proc/none/lo", false, false),
        ] {
            let picture = seen(&place, &format!("lowerdir={lower},{beside}"), "0:99999");
            let found = (!picture.placed.is_empty(), !picture.unknown.is_empty());
            assert_eq!(found, (is_placed, is_unknown), "{lower}: {:?}", picture.unknown);
        }
        // The overlay on which the state directory itself is.
        let own = MountTable::of(Path::new("/proc/self")).unwrap();
        let device =
            own.get(look(&place, rustix::fs::AtFlags::empty()).unwrap().mount.unwrap()).unwrap().device;
        let device = format!("{}:{}", device >> 32, device & 0xffff_ffff);
        assert!(seen(&place, "lowerdir=lo", &device).unknown.is_empty());
    }

    #[test]
    fn overlay_without_mount_is_unknown() {
        let stray = |mounted: &str, device: u64| {
            let table = MountTable::parse(mounted.as_bytes());
            let mut overlays = Overlays::default();
            overlays.note(7, Path::new("/proc/self"), &table.mounts[0], true);
            let mount = Some(900_001);
            let seen =
                Seen { device, inode: 1, links: 1, mount, is_socket: false, is_link: false, is_data: true };
            overlays.stray(7, &seen, Path::new("/x"));
            let mut picture = Picture::default();
            overlays.place_in(&mut picture, &Roots::new());
            picture.unknown.len()
        };
        assert_eq!(stray("1 0 0:50 / / rw - tmpfs t rw", 51), 1);
        assert_eq!(stray("1 0 0:51 / / rw - tmpfs t rw", 51), 0, "its file system is mounted elsewhere");
        assert_eq!(stray("900001 0 0:50 / / rw - tmpfs t rw", 51), 0, "another process sees its mount");
        assert_eq!(stray("1 0 0:50 / / rw - tmpfs t rw", (8 << 32) | 1), 0, "it is on a disk");
    }
}
