//! Measures what is below a folder, without leaving it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Statx, StatxFlags, statx};
use rustix::io::Errno;

use super::identity::{IDENTITY, TreeIdentity};
use super::remove::open_below;
use super::walk::{Go, Unread, Visitor, walk};

/// Size and content of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TreeSize {
    /// Files, links and folders, the top one included.
    pub entries: u64,
    /// Disk space in bytes; a file with several names counts once a name, as its last one gives it back.
    pub bytes: u64,
    /// The newest change of anything in it, in milliseconds since the epoch.
    pub newest_ms: i64,
    /// Whether something is mounted in it.
    pub has_mounts: bool,
    /// Whether a part could not be read: then the rest is a lower limit.
    pub is_partial: bool,
    /// The top's identity; `None` when it does not exist or could not be examined.
    pub top: Option<TreeIdentity>,
}

/// An entry met on a walk through a tree.
#[derive(Debug, Clone, Copy)]
pub enum TreeEntry<'a> {
    /// A file, link or folder; the top one first.
    There {
        /// Its name in its folder; for the top, the whole path.
        name: &'a CStr,
        /// Major and minor number of its device, in one.
        device: u64,
        inode: u64,
        /// Whether it is the name of a socket.
        is_socket: bool,
    },
    /// A part of the tree that could not be read.
    Unread,
}

/// Measures one tree; all zeros when there is none.
pub fn measure_tree(top: &Path) -> TreeSize {
    walk_tree(top, &mut |_| {})
}

/// Measures one tree, and shows `see` every entry of it.
pub fn walk_tree(top: &Path, see: &mut dyn FnMut(TreeEntry<'_>)) -> TreeSize {
    let mut size = TreeSize::default();
    let Ok(name) = CString::new(std::os::unix::ffi::OsStrExt::as_bytes(top.as_os_str())) else {
        return size;
    };
    let mut walk = Walk { size: &mut size, see, buffer: Vec::with_capacity(32 << 10) };
    // The path to the top may lead through links; nothing below it does.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    walk.size.top = walk.count(CWD, &name, IDENTITY).map(|top| TreeIdentity::found(&top));
    match rustix::fs::open(top, flags, Mode::empty()) {
        Ok(fd) => walk.folder(&fd, 0),
        Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP | rustix::io::Errno::NOENT) => {}
        Err(_) => walk.unread(),
    }
    size
}

/// Depth down to which descriptors are kept open; deeper folders are walked with few of them.
const DEEPEST: usize = 400;

/// The fields of statx that are added up.
const SIZE: StatxFlags = StatxFlags::BLOCKS
    .union(StatxFlags::MTIME)
    .union(StatxFlags::CTIME)
    .union(StatxFlags::INO)
    .union(StatxFlags::TYPE);

struct Walk<'a> {
    size: &'a mut TreeSize,
    see: &'a mut dyn FnMut(TreeEntry<'_>),
    buffer: Vec<u8>,
}

impl Walk<'_> {
    fn unread(&mut self) {
        self.size.is_partial = true;
        (self.see)(TreeEntry::Unread);
    }

    fn count(&mut self, folder: BorrowedFd<'_>, name: &CStr, wanted: StatxFlags) -> Option<Statx> {
        self.count_at(folder, name, name, wanted)
    }

    /// Counts the entry at a path below a folder; the empty path is the folder itself.
    fn count_at(
        &mut self,
        folder: BorrowedFd<'_>,
        at: &CStr,
        name: &CStr,
        wanted: StatxFlags,
    ) -> Option<Statx> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let flags = if at.is_empty() { flags | AtFlags::EMPTY_PATH } else { flags };
        match statx(folder, at, flags, wanted) {
            Ok(found) => {
                let ms = |t: rustix::fs::StatxTimestamp| t.tv_sec * 1000 + i64::from(t.tv_nsec) / 1_000_000;
                self.size.entries += 1;
                self.size.bytes += found.stx_blocks * 512;
                self.size.newest_ms = self.size.newest_ms.max(ms(found.stx_mtime)).max(ms(found.stx_ctime));
                let TreeIdentity { device, inode, .. } = TreeIdentity::found(&found);
                let is_socket = FileType::from_raw_mode(found.stx_mode.into()) == FileType::Socket;
                (self.see)(TreeEntry::There { name, device, inode, is_socket });
                return Some(found);
            }
            Err(rustix::io::Errno::NOENT) => {}
            Err(_) => self.unread(),
        }
        None
    }

    fn folder(&mut self, fd: &OwnedFd, depth: usize) {
        let mut below = Vec::new();
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut entries = RawDir::new(fd.as_fd(), buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let Ok(entry) = entry else {
                self.unread();
                break;
            };
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            self.count(fd.as_fd(), entry.file_name(), SIZE);
            if matches!(entry.file_type(), FileType::Directory | FileType::Unknown) {
                below.push(entry.file_name().to_owned());
            }
        }
        self.buffer = buffer;
        for name in below {
            self.enter(fd, &name, depth + 1);
        }
    }

    fn enter(&mut self, above: &OwnedFd, name: &CStr, depth: usize) {
        match open_below(above.as_fd(), name, OFlags::RDONLY) {
            Ok(fd) if depth > DEEPEST => {
                if walk(fd.as_fd(), &mut Deeper(self)).is_err() {
                    self.unread();
                }
            }
            Ok(fd) => self.folder(&fd, depth),
            Err(rustix::io::Errno::XDEV) => self.size.has_mounts = true,
            Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP | rustix::io::Errno::NOENT) => {}
            Err(_) => self.unread(),
        }
    }
}

/// Counts the content of a folder at that depth; the folder itself has been counted.
struct Deeper<'w, 'a>(&'w mut Walk<'a>);

impl Visitor for Deeper<'_, '_> {
    fn folder(&mut self, folder: BorrowedFd<'_>, path: &Path) -> Result<Go, Unread> {
        if let Some(name) = path.file_name()
            && let Ok(name) = CString::new(name.as_encoded_bytes())
        {
            self.0.count_at(folder, c"", &name, SIZE);
        }
        Ok(Go::In)
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, _: &Path) -> Result<(), Unread> {
        self.0.count(folder, name, SIZE);
        Ok(())
    }

    fn closed(&mut self, above: BorrowedFd<'_>, name: &CStr, _: &Path, _: Errno) -> Result<(), Unread> {
        self.0.count(above, name, SIZE);
        self.0.unread();
        Ok(())
    }

    fn mounted(&mut self, _: &Path) -> Result<(), Unread> {
        self.0.size.has_mounts = true;
        Ok(())
    }
}
