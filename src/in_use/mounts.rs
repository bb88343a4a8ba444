//! Mount tables: the mounts that a process sees, and the position of a path in its file system.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};

/// The location of something in a file system, whatever is mounted where: it is the same in every mount
/// namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Location {
    /// Major and minor number of the file system, as mount tables give it.
    pub(super) device: u64,
    /// The path from the file system's own root.
    pub(super) path: PathBuf,
}

impl Location {
    /// Whether it is that folder, or lies below it.
    pub(super) fn is_within(&self, folder: &Location) -> bool {
        self.device == folder.device && self.path.starts_with(&folder.path)
    }
}

/// One statx of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Major and minor number, in one, as stat(2) gives it.
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Number of its names; 0 when it was removed.
    pub(super) links: u32,
    /// The mount through which it was reached; `None` before Linux 5.8.
    pub(super) mount: Option<u64>,
    pub(super) is_socket: bool,
    pub(super) is_link: bool,
    /// Whether it is a file with contents, or a folder.
    pub(super) is_data: bool,
}

/// Examines the target of a path; with `NOFOLLOW` a link itself. It does not ask the server of a network file
/// system.
pub(super) fn look(path: &Path, flags: AtFlags) -> io::Result<Seen> {
    let wanted = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::NLINK | StatxFlags::MNT_ID;
    let found = statx(CWD, path, flags | AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT, wanted)?;
    let has_mount = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
    let kind = FileType::from_raw_mode(found.stx_mode.into());
    Ok(Seen {
        device: device(found.stx_dev_major, found.stx_dev_minor),
        inode: found.stx_ino,
        links: found.stx_nlink,
        mount: has_mount.then_some(found.stx_mnt_id),
        is_socket: kind == FileType::Socket,
        is_link: kind == FileType::Symlink,
        is_data: matches!(kind, FileType::RegularFile | FileType::Directory),
    })
}

/// Major and minor number, in one.
pub(super) fn device(major: u32, minor: u32) -> u64 {
    (u64::from(major) << 32) | u64::from(minor)
}

/// `fd:01`, in the base that the text has.
pub(super) fn device_of(text: &str, radix: u32) -> Option<u64> {
    let (major, minor) = text.split_once(':')?;
    Some(device(u32::from_str_radix(major, radix).ok()?, u32::from_str_radix(minor, radix).ok()?))
}

/// File systems whose files may be on another host, or served by a process: examining one may block for ever.
const REMOTE: [&str; 12] =
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "gfs2", "ocfs2", "lustre", "fuse"];

/// A mount.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) id: u64,
    parent: u64,
    pub(super) device: u64,
    /// The folder of its file system that is mounted.
    root: PathBuf,
    /// The mount point, from the root directory of the process whose table it is.
    pub(super) point: PathBuf,
    kind: String,
    /// The device, or the file system's name for its source.
    source: PathBuf,
    /// The file system's own options as the table has them: those of an overlay name its folders.
    options: Vec<u8>,
}

impl Mount {
    /// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
    fn parse(line: &[u8]) -> Option<Mount> {
        let mut fields = line.split(|&b| b == b' ');
        let mut next = || fields.next();
        let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse::<u64>().ok();
        let (id, parent) = (number(next()?)?, number(next()?)?);
        let device = device_of(std::str::from_utf8(next()?).ok()?, 10)?;
        let (root, point) = (unescaped(next()?), unescaped(next()?));
        // A dash follows the optional fields.
        while next()? != b"-" {}
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        let (kind, source) = (text(next()?), unescaped(next()?));
        let options = next().unwrap_or_default().to_owned();
        Some(Mount { id, parent, device, root, point, kind, source, options })
    }

    /// The name, `mnt:[…]`, of the mount namespace that this mount of a file keeps; `None` for any other mount.
    pub(super) fn keeps_namespace(&self) -> Option<&Path> {
        let is_one = self.kind == "nsfs" && self.root.as_os_str().as_encoded_bytes().starts_with(b"mnt:[");
        is_one.then_some(&*self.root)
    }

    fn is_remote(&self) -> bool {
        let kind = self.kind.split('.').next().unwrap_or_default();
        REMOTE.contains(&kind)
    }

    /// The mounted folder, in its file system.
    pub(super) fn shows(&self) -> Location {
        Location { device: self.device, path: self.root.clone() }
    }

    /// Name and value of each option. A comma in a value is written as `\054`.
    fn options(&self) -> impl Iterator<Item = (&[u8], PathBuf)> {
        self.options.split(|&b| b == b',').filter_map(|option| {
            let end = option.iter().position(|&b| b == b'=')?;
            Some((&option[..end], unescaped(&option[end + 1..])))
        })
    }

    /// Paths that its source and its options name, such as the file behind a bind by FUSE.
    pub(super) fn names(&self) -> impl Iterator<Item = PathBuf> {
        let values = self.options().flat_map(|(_, value)| {
            let value = value.into_os_string().into_vec();
            value.split(|&b| b == b':').map(path).collect::<Vec<_>>()
        });
        std::iter::once(self.source.clone()).chain(values).filter(|path| path.is_absolute())
    }

    /// The folders of an overlay, as they were named when it was mounted, relative to a root and a working
    /// directory that are no longer known. A colon separates them; `\:` and the like are escapes.
    pub(super) fn layers(&self) -> Vec<PathBuf> {
        if self.kind != "overlay" {
            return Vec::new();
        }
        let mut layers = Vec::new();
        for (name, value) in self.options() {
            let value = value.into_os_string().into_vec();
            match name {
                b"lowerdir" => layers.extend(parts(&value, Some(b':'))),
                // One folder each, unescaped.
                b"lowerdir+" | b"datadir+" => layers.push(path(&value)),
                b"upperdir" | b"workdir" => layers.extend(parts(&value, None)),
                _ => {}
            }
        }
        layers
    }
}

/// The mounts that a process sees.
#[derive(Debug, Default)]
pub(super) struct MountTable {
    pub(super) mounts: Vec<Mount>,
    by_id: HashMap<u64, usize>,
    /// Indexes by mount point; of several mounts at one point the last, which hides the others.
    by_point: BTreeMap<PathBuf, usize>,
}

impl MountTable {
    /// The table of the process, or thread, that has this folder in `/proc`.
    pub(super) fn of(process: &Path) -> io::Result<MountTable> {
        Ok(MountTable::parse(&crate::durable::plain::read(process.join("mountinfo"))?))
    }

    pub(super) fn parse(text: &[u8]) -> MountTable {
        let mounts: Vec<Mount> = text.split(|&b| b == b'\n').filter_map(Mount::parse).collect();
        let by_id = mounts.iter().enumerate().map(|(at, m)| (m.id, at)).collect();
        let by_point = mounts.iter().enumerate().map(|(at, m)| (m.point.clone(), at)).collect();
        MountTable { mounts, by_id, by_point }
    }

    pub(super) fn get(&self, id: u64) -> Option<&Mount> {
        self.by_id.get(&id).map(|&at| &self.mounts[at])
    }

    /// Whether a file system is that of the root directory.
    pub(super) fn is_root(&self, device: u64) -> bool {
        self.by_point.get(Path::new("/")).is_some_and(|&at| self.mounts[at].device == device)
    }

    /// Whether anything is mounted at this folder or below.
    pub(super) fn has_mounts_below(&self, folder: &Path) -> bool {
        self.by_point.range(folder.to_owned()..).next().is_some_and(|(point, _)| point.starts_with(folder))
    }

    /// The mount that a path is on, by its name alone.
    fn of_path(&self, path: &Path) -> Option<&Mount> {
        path.ancestors().find_map(|at| self.by_point.get(at)).map(|&at| &self.mounts[at])
    }

    /// The location of a path that was examined.
    pub(super) fn locate(&self, seen: &Seen, path: &Path) -> Option<Location> {
        let mount = match seen.mount {
            Some(id) => self.get(id)?,
            None => self.of_path(path)?,
        };
        let below = path.strip_prefix(&mount.point).ok()?;
        Some(Location { device: mount.device, path: mount.root.join(below) })
    }

    /// The device of a path whose examination may have to wait for another host or process; `None` for others.
    pub(super) fn is_remote(&self, path: &Path) -> Option<u64> {
        self.of_path(path).filter(|mount| mount.is_remote()).map(|mount| mount.device)
    }

    /// The position of a mount point in the file system that contains it.
    pub(super) fn place_of(&self, mount: &Mount) -> Option<Location> {
        let above = self.get(mount.parent).filter(|above| above.id != mount.id)?;
        let below = mount.point.strip_prefix(&above.point).ok()?;
        Some(Location { device: above.device, path: above.root.join(below) })
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_owned()).into()
}

/// Paths between separators; a byte after a backslash stands for itself.
fn parts(value: &[u8], separator: Option<u8>) -> Vec<PathBuf> {
    let (mut parts, mut part) = (Vec::new(), Vec::new());
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => part.extend(bytes.next()),
            byte if Some(byte) == separator => parts.push(std::mem::take(&mut part)),
            byte => part.push(byte),
        }
    }
    parts.push(part);
    // Data-only layers follow two colons.
    parts.iter().filter(|part| !part.is_empty()).map(|part| path(part)).collect()
}

/// `\040` and the like are escapes for blanks and the like.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| first == b'\\').and_then(|d| std::str::from_utf8(d).ok());
        match octal.and_then(|d| u8::from_str_radix(d, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
        2 1 8:2 /vol /data rw,noatime shared:3 - xfs /dev/sdb rw\n\
        3 2 0:40 / /data/a\\040b rw - tmpfs t rw\n\
        4 1 8:2 /vol/jobs/x /srv rw - xfs /dev/sdb rw\n\
        5 1 0:41 / /o rw - overlay overlay rw,lowerdir=/l1:/l2,upperdir=/data/up,workdir=/w\n\
        6 1 0:50 / /net rw - fuse.sshfs h: rw\n";

    #[test]
    fn location_by_mount_not_name() {
        let table = MountTable::parse(TABLE);
        let seen = |mount| Seen {
            device: 0,
            inode: 1,
            links: 1,
            mount,
            is_socket: false,
            is_link: false,
            is_data: true,
        };
        let at = |mount, path: &str| table.locate(&seen(mount), Path::new(path));
        let on_b = |path: &str| Some(Location { device: device(8, 2), path: path.into() });
        assert_eq!(at(Some(2), "/data/jobs/x/f"), on_b("/vol/jobs/x/f"));
        assert_eq!(at(None, "/data/jobs/x/f"), on_b("/vol/jobs/x/f"));
        assert_eq!(at(Some(4), "/srv/f"), on_b("/vol/jobs/x/f"));
        assert_eq!(at(Some(2), "/elsewhere"), None);
        assert_eq!(at(Some(99), "/data"), None);
    }

    #[test]
    fn mount_position_in_parent_file_system() {
        let table = MountTable::parse(TABLE);
        let place = table.place_of(table.get(3).unwrap()).unwrap();
        assert_eq!(place, Location { device: device(8, 2), path: "/vol/a b".into() });
        assert!(place.is_within(&Location { device: device(8, 2), path: "/vol".into() }));
        assert!(!place.is_within(&Location { device: device(8, 2), path: "/vo".into() }));
        assert_eq!(table.place_of(table.get(1).unwrap()), None);
    }

    #[test]
    fn overlay_layers_and_network_types() {
        let table = MountTable::parse(TABLE);
        assert_eq!(table.get(5).unwrap().layers(), ["/l1", "/l2", "/data/up", "/w"].map(PathBuf::from));
        let line =
            b"7 1 0:42 / /p rw - overlay o rw,lowerdir=l\\134:o\\134\\054x:b::/d\\040e,upperdir=/u:v,uuid=on";
        let escaped = MountTable::parse(line);
        let layers = ["l:o,x", "b", "/d e", "/u:v"].map(PathBuf::from);
        assert_eq!(escaped.get(7).unwrap().layers(), layers, "{escaped:?}");
        assert_eq!(table.is_remote(Path::new("/net/x")), Some(device(0, 50)));
        assert_eq!(table.is_remote(Path::new("/data/x")), None);
    }
}
