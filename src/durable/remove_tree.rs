//! Removes a folder with all that is in it, below a folder descriptor.
//!
//! Never follows a link, never crosses a mount: each folder is opened with `openat2` (beneath, no links, no
//! mounts), which a device number alone cannot replace, for a bind mount has the same one. Where the system
//! has no `openat2`, the mount's number is compared; where that is not told either, the folder stays. What
//! cannot be removed is named, and the rest goes. Killed at any point and called again, it removes the rest.

use std::collections::HashSet;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, StatxFlags, fchmod, fstat, open, openat, openat2,
    renameat, statat, statx, unlinkat,
};
use rustix::io::Errno;

use super::disk::{Disk, Effect, parent};
use super::error::{DiskError, Tried};

/// What was removed, and what could not be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    /// Names of files, links and the like.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Room given back, bytes; a file with another name elsewhere gives back none.
    pub bytes: u64,
    /// What stayed, with the reason; the first hundred.
    pub failed: Vec<(PathBuf, String)>,
    /// How many stayed.
    pub failed_total: u64,
}

/// The folders that are open at a time, each a descriptor and a place on the stack. What lies deeper is
/// moved up first.
const DEEPEST: usize = 100;
/// Names that are read before any of them is removed.
const AT_ONCE: usize = 4096;
/// How many failures are named.
const NAMED: usize = 100;
/// How often a folder is opened anew when something is renamed at that moment.
const TRIES: u32 = 16;

/// Removes it; nothing there is success. Whoever wants the removal to last syncs the folder above.
///
/// # Errors
/// When the folder above cannot be opened. What lies below and stays is in the result.
pub fn remove_tree(disk: &Disk, path: &Path) -> Result<Removed, DiskError> {
    let mut walk = Walk { disk, removed: Removed::default(), moved_up: 0 };
    let Some(name) = path.file_name().and_then(|n| CString::new(n.as_bytes()).ok()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput)).tried("remove", path);
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = open(parent(path), flags, Mode::empty()).map_err(io::Error::from);
    let above = above.tried("open the folder", parent(path))?;
    match statat(&above, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => {}
        Err(e) => walk.fail(path, e),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => {
            walk.remove_file(above.as_fd(), &name, path);
        }
        Ok(_) => walk.remove_top(above.as_fd(), &name, path),
    }
    Ok(walk.removed)
}

struct Walk<'a> {
    disk: &'a Disk,
    removed: Removed,
    /// How many folders were moved up, for their names.
    moved_up: u64,
}

/// Where folders go that lie too deep.
struct Top<'a> {
    folder: BorrowedFd<'a>,
    path: &'a Path,
}

impl Walk<'_> {
    fn fail(&mut self, path: &Path, why: impl Into<io::Error>) {
        self.removed.failed_total += 1;
        if self.removed.failed.len() < NAMED {
            self.removed.failed.push((path.to_owned(), why.into().to_string()));
        }
    }

    fn remove_top(&mut self, above: BorrowedFd<'_>, name: &CStr, path: &Path) {
        let folder = match self.open_folder(above, name, path) {
            Ok(folder) => folder,
            Err(e) => return self.fail(path, e),
        };
        loop {
            let before = self.moved_up;
            self.empty(folder.as_fd(), path, &Top { folder: folder.as_fd(), path }, 0);
            if self.moved_up == before {
                break;
            }
            // What was moved up is there now; what failed is told once, at the last pass.
            self.removed.failed.clear();
            self.removed.failed_total = 0;
        }
        self.remove_folder(above, name, path);
    }

    /// Removes all that is in a folder.
    fn empty(&mut self, folder: BorrowedFd<'_>, path: &Path, top: &Top<'_>, depth: usize) {
        let mut stays: HashSet<CString> = HashSet::new();
        loop {
            let names = match names_in(folder, &stays) {
                Ok(names) => names,
                Err(e) => return self.fail(path, e),
            };
            if names.is_empty() {
                return;
            }
            for (name, kind) in names {
                let is_folder = match kind {
                    FileType::Directory => true,
                    FileType::Unknown => is_folder(folder, &name),
                    _ => false,
                };
                let at = path.join(OsStr::from_bytes(name.to_bytes()));
                let is_gone = match is_folder {
                    true => self.remove_below(folder, &name, &at, top, depth),
                    false => self.remove_file(folder, &name, &at),
                };
                if !is_gone {
                    stays.insert(name);
                }
            }
        }
    }

    fn remove_below(
        &mut self,
        above: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
        top: &Top<'_>,
        depth: usize,
    ) -> bool {
        if depth >= DEEPEST {
            return self.move_up(above, name, path, top);
        }
        match self.open_folder(above, name, path) {
            Ok(folder) => self.empty(folder.as_fd(), path, top, depth + 1),
            Err(Errno::NOENT) => return true,
            Err(e) => {
                self.fail(path, e);
                return false;
            }
        }
        self.remove_folder(above, name, path)
    }

    fn move_up(&mut self, above: BorrowedFd<'_>, name: &CStr, path: &Path, top: &Top<'_>) -> bool {
        self.moved_up += 1;
        let new = format!(".deep-{}-{}", std::process::id(), self.moved_up);
        let to = top.path.join(&new);
        let effect = Effect::Rename { from: path, to: &to, replace: true };
        let moved = self.disk.perform(&effect, || Ok(renameat(above, name, top.folder, new.as_str())?));
        moved.map_err(|e| self.fail(path, e)).is_ok()
    }

    /// Opens a folder, and makes it one that its owner may change: jobs leave read-only trees behind.
    fn open_folder(&mut self, above: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<OwnedFd, Errno> {
        let readable = OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = match open_beneath(above, name, readable) {
            Err(Errno::ACCESS) => {
                let handle = open_beneath(above, name, OFlags::PATH | OFlags::DIRECTORY)?;
                // Follows the descriptor to this very folder, not a name.
                let itself = PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()));
                let effect = Effect::SetMode { path, mode: 0o700 };
                let opened = self.disk.perform(&effect, || Ok(rustix::fs::chmod(&itself, Mode::RWXU)?));
                opened.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::ACCESS))?;
                open_beneath(above, name, readable)?
            }
            other => other?,
        };
        let mode = Mode::from_raw_mode(fstat(&folder)?.st_mode);
        if !mode.contains(Mode::RWXU) {
            let effect = Effect::SetMode { path, mode: (mode | Mode::RWXU).bits() };
            // Where that is not allowed, removing what is in it says so.
            let _ = self.disk.perform(&effect, || Ok(fchmod(&folder, mode | Mode::RWXU)?));
        }
        Ok(folder)
    }

    fn remove_file(&mut self, above: BorrowedFd<'_>, name: &CStr, path: &Path) -> bool {
        let room = statat(above, name, AtFlags::SYMLINK_NOFOLLOW).ok().filter(|stat| stat.st_nlink == 1);
        let effect = Effect::RemoveFile { path };
        match self.disk.perform(&effect, || Ok(unlinkat(above, name, AtFlags::empty())?)) {
            Ok(()) => {
                self.removed.files += 1;
                let blocks = room.map_or(0, |stat| u64::try_from(stat.st_blocks).unwrap_or(0));
                self.removed.bytes += blocks * 512;
                true
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => true,
            Err(e) => {
                self.fail(path, e);
                false
            }
        }
    }

    fn remove_folder(&mut self, above: BorrowedFd<'_>, name: &CStr, path: &Path) -> bool {
        let effect = Effect::RemoveDir { path };
        match self.disk.perform(&effect, || Ok(unlinkat(above, name, AtFlags::REMOVEDIR)?)) {
            Ok(()) => {
                self.removed.folders += 1;
                true
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => true,
            // What is in it has told why it stays.
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty && self.removed.failed_total > 0 => false,
            Err(e) => {
                self.fail(path, e);
                false
            }
        }
    }
}

fn is_folder(above: BorrowedFd<'_>, name: &CStr) -> bool {
    let stat = statat(above, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory)
}

/// The next names in a folder, without those that stay.
fn names_in(folder: BorrowedFd<'_>, stays: &HashSet<CString>) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") && !stays.contains(name) {
            names.push((name.to_owned(), entry.file_type()));
        }
        if names.len() >= AT_ONCE {
            break;
        }
    }
    Ok(names)
}

fn open_beneath(above: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    for _ in 0..TRIES {
        match openat2(above, name, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            Err(Errno::NOSYS) => return open_on_the_same_mount(above, name, flags),
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// For systems before Linux 5.6.
fn open_on_the_same_mount(above: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let folder = openat(above, name, flags, Mode::empty())?;
    let (here, there) = (mount_of(above)?, mount_of(folder.as_fd())?);
    if here == there { Ok(folder) } else { Err(Errno::XDEV) }
}

/// Device and mount of an open folder.
fn mount_of(folder: BorrowedFd<'_>) -> Result<(u32, u32, u64), Errno> {
    let told = statx(folder, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    // What is not told cannot be compared: better a folder too many than one of somebody else.
    if StatxFlags::from_bits_retain(told.stx_mask).contains(StatxFlags::MNT_ID) {
        Ok((told.stx_dev_major, told.stx_dev_minor, told.stx_mnt_id))
    } else {
        Err(Errno::XDEV)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn tree(root: &Path) {
        for folder in ["a/b/c", "a/empty", "d"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["top", "a/one", "a/b/two", "a/b/c/three"] {
            fs::write(root.join(file), [7; 5000]).unwrap();
        }
    }

    #[test]
    fn all_goes_and_nothing_behind_a_link() {
        let place = tempfile::tempdir().unwrap();
        let (root, other) = (place.path().join("tree"), place.path().join("other"));
        tree(&root);
        tree(&other);
        symlink(&other, root.join("a/link")).unwrap();
        symlink("/nowhere", root.join("dangling")).unwrap();
        let kept = place.path().join("kept");
        fs::hard_link(root.join("top"), &kept).unwrap();
        let removed = remove_tree(&Disk::real(), &root).unwrap();
        assert_eq!((removed.files, removed.folders, removed.failed_total), (6, 6, 0), "{removed:?}");
        assert!((15_000..40_000).contains(&removed.bytes), "{removed:?}");
        assert!(!root.exists() && other.join("a/b/c/three").exists() && kept.exists());
        assert_eq!(remove_tree(&Disk::real(), &root).unwrap(), Removed::default());
        symlink(&other, &root).unwrap();
        assert_eq!(remove_tree(&Disk::real(), &root).unwrap().files, 1);
        assert!(other.join("top").exists());
    }

    #[test]
    fn read_only_and_closed_folders_go_too() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("tree");
        tree(&root);
        for (folder, mode) in [("a/b/c", 0o000), ("a/b", 0o500), ("d", 0o300)] {
            fs::set_permissions(root.join(folder), fs::Permissions::from_mode(mode)).unwrap();
        }
        let removed = remove_tree(&Disk::real(), &root).unwrap();
        assert!(removed.failed.is_empty() && !root.exists(), "{removed:?}");
    }

    #[test]
    fn a_tree_deeper_than_any_path_goes() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("tree");
        fs::create_dir(&root).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut at = open(&root, flags, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "deeper", Mode::RWXU).unwrap();
            at = openat(&at, "deeper", flags, Mode::empty()).unwrap();
        }
        drop(at);
        let removed = remove_tree(&Disk::real(), &root).unwrap();
        assert_eq!((removed.folders, removed.failed_total), (3001, 0), "{removed:?}");
        assert!(!root.exists());
    }

    #[test]
    fn what_is_refused_stays_and_the_rest_goes() {
        struct Refuses;
        impl super::super::disk::Observer for Refuses {
            fn before(&self, effect: &Effect<'_>) -> io::Result<()> {
                match effect {
                    Effect::RemoveFile { path } if path.ends_with("two") => {
                        Err(io::ErrorKind::PermissionDenied.into())
                    }
                    _ => Ok(()),
                }
            }
            fn after(&self, _: &Effect<'_>) {}
        }
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("tree");
        tree(&root);
        let removed = remove_tree(&Disk::observed(std::sync::Arc::new(Refuses)), &root).unwrap();
        assert_eq!((removed.failed_total, removed.files), (1, 3), "{removed:?}");
        assert_eq!(removed.failed[0].0, root.join("a/b/two"));
        assert!(root.join("a/b/two").exists() && !root.join("a/b/c").exists() && !root.join("d").exists());
        assert_eq!(remove_tree(&Disk::real(), &root).unwrap().failed_total, 0);
    }
}
