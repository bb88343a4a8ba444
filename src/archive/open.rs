//! Opens the places that a repository names, and checks what is in them.
//!
//! A repository may name folders anywhere. They are opened with the rights of the user who wrote the name
//! ([`Opened`]), and everything that git will open is checked first ([`Objects`]).

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use super::elsewhere::lines_of;
use super::look::entry_at;
use super::tips;
use crate::durable::tree::{Go, Unread, Visitor, name_of, open_file, open_folder, shown, walk};
use crate::system::Author;

/// The files of a repository that name places, or that git reads.
const TELLING: [&CStr; 14] = [
    c"HEAD",
    c"config",
    c"config.worktree",
    c"commondir",
    c"gitdir",
    c"index",
    c"packed-refs",
    c"shallow",
    c"refs",
    c"logs",
    c"worktrees",
    c"objects",
    c"objects/info",
    c"objects/info/alternates",
];

/// An open folder, with the possible authors of its content and of the path to it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) folder: OwnedFd,
    pub(super) author: Author,
}

impl AsFd for Opened {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

impl Opened {
    /// A folder, of which a repository may be in it.
    pub(super) fn store(folder: OwnedFd, author: Author) -> Result<Opened, Errno> {
        let mut author = author.and(Author::of(&fstat(&folder)?));
        for name in TELLING {
            match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => author = author.and(Author::of(&found)),
                // A link on the way leads nowhere.
                Err(_) if name.to_bytes().contains(&b'/') => {}
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Opened { folder, author })
    }

    /// Opens a folder below it.
    pub(super) fn below(&self, path: &Path) -> std::io::Result<Opened> {
        Ok(Opened::store(open_folder(self.as_fd(), path)?, self.author)?)
    }

    pub(super) fn try_clone(&self) -> std::io::Result<Opened> {
        Ok(Opened { folder: self.folder.try_clone()?, author: self.author })
    }
}

/// Opens a named folder, wherever it is, with the rights of the user who wrote the name.
pub(super) fn open_anywhere(from: BorrowedFd<'_>, path: &[u8], author: Author) -> std::io::Result<Opened> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = author.act(|| openat(from, OsStr::from_bytes(path), flags, Mode::empty()))??;
    Ok(Opened::store(folder, author)?)
}

/// The repository that a linked working tree's folder belongs to; `None` for a whole one.
pub(super) fn common_of(folder: &Opened) -> Result<Option<Opened>, String> {
    let Some(text) = tips::small(folder.as_fd(), c"commondir")? else { return Ok(None) };
    open_anywhere(folder.as_fd(), text.trim_ascii(), folder.author)
        .map(Some)
        .map_err(|e| format!("the repository that its file commondir names cannot be opened: {e}"))
}

pub(super) fn is_store(folder: BorrowedFd<'_>) -> bool {
    [c"objects", c"refs"].iter().all(|name| {
        entry_at(folder, name).is_ok_and(|found| found.is_some_and(|(kind, _)| kind == FileType::Directory))
    })
}

pub(super) fn objects_of(folder: &Opened) -> Result<Objects, String> {
    let common = common_of(folder)?;
    let folder = common.as_ref().unwrap_or(folder);
    let objects = open_folder(folder.as_fd(), Path::new("objects"));
    Objects::new(objects.map_err(|e| format!("its folder objects cannot be opened: {e}"))?, folder.author)
}

/// A folder of objects that git may be asked about: all that git would open in it is a regular file. A pipe would hold
/// git up, a device might do something, and a link leads elsewhere.
#[derive(Debug)]
pub(super) struct Objects {
    folder: OwnedFd,
    /// The possible author of its content: git runs with that user's rights.
    pub(super) author: Author,
}

impl AsFd for Objects {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

impl Objects {
    /// Checks a folder of objects.
    ///
    /// # Errors
    /// Something in it that git must not open.
    pub(super) fn new(folder: OwnedFd, author: Author) -> Result<Objects, String> {
        let mut vet = Vet { author, why: None };
        let walked = walk(folder.as_fd(), &mut vet);
        match (vet.why, walked) {
            (Some(why), _) => return Err(why),
            (None, walked) => walked.map_err(|e| format!("its objects: {e}"))?,
        }
        let objects = Objects { folder, author: vet.author };
        // git follows the names of lenders with the rights that it has, which are then not those of their author.
        if let Author::Other(uid) = objects.author
            && objects.author.account(false).is_none()
            && let Some(list) = tips::small(objects.as_fd(), c"info/alternates")?
            && lines_of(&list).next().is_some()
        {
            return Err(format!("it borrows objects and belongs to user {uid}, whose rights cannot be had"));
        }
        Ok(objects)
    }
}

struct Vet {
    author: Author,
    why: Option<String>,
}

impl Vet {
    fn see(&mut self, path: &Path, found: &rustix::fs::Stat) -> Result<(), Unread> {
        let kind = FileType::from_raw_mode(found.st_mode);
        self.author = self.author.and(Author::of(found));
        if kind.is_file() {
            return Ok(());
        }
        self.why = Some(format!("objects/{} is {}", shown(path), name_of(kind)));
        Err(Unread::new(path, ErrorKind::Interrupted))
    }
}

/// Whether git looks into an entry with this name in a folder of objects.
fn is_looked_into(name: &[u8]) -> bool {
    matches!(name, b"pack" | b"info") || (name.len() == 2 && name.iter().all(u8::is_ascii_hexdigit))
}

impl Visitor for Vet {
    fn folder(&mut self, folder: BorrowedFd<'_>, path: &Path) -> Result<Go, Unread> {
        let name = path.as_os_str().as_bytes();
        if !name.is_empty() && !is_looked_into(name) {
            return Ok(Go::Past);
        }
        let found = fstat(folder).map_err(|e| Unread::new(path, e))?;
        self.author = self.author.and(Author::of(&found));
        Ok(Go::In)
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<(), Unread> {
        let is_at_top = path.parent().is_none_or(|above| above.as_os_str().is_empty());
        if is_at_top && !is_looked_into(name.to_bytes()) {
            return Ok(());
        }
        match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if is_at_top && FileType::from_raw_mode(found.st_mode).is_file() => Ok(()),
            Ok(found) => self.see(path, &found),
            Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(Unread::new(path, e)),
        }
    }

    fn mounted(&mut self, path: &Path) -> Result<(), Unread> {
        self.why = Some(format!("something is mounted on objects/{}", shown(path)));
        Err(Unread::new(path, ErrorKind::Interrupted))
    }
}

/// Opens a regular file below a folder; `None` when nothing has that name.
pub(super) fn optional_file(folder: BorrowedFd<'_>, name: &CStr) -> Result<Option<File>, String> {
    match open_file(folder, name) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("{}: {e}", name.to_string_lossy())),
    }
}

/// Whether a working tree's `.git` that is no repository holds files.
pub(super) fn holds_files(tree: &OwnedFd) -> Result<bool, String> {
    let dot_git = open_folder(tree.as_fd(), Path::new(".git")).map_err(|e| format!(".git: {e}"))?;
    holds_anything(&dot_git).map_err(|e| e.to_string())
}

/// Whether a folder holds anything but folders.
pub(super) fn holds_anything(folder: &OwnedFd) -> Result<bool, Unread> {
    pub(super) struct Any(bool);
    impl Visitor for Any {
        fn folder(&mut self, _: BorrowedFd<'_>, _: &Path) -> Result<Go, Unread> {
            Ok(if self.0 { Go::Past } else { Go::In })
        }
        fn entry(&mut self, _: BorrowedFd<'_>, _: &std::ffi::CStr, _: &Path) -> Result<(), Unread> {
            self.0 = true;
            Ok(())
        }
    }
    let mut any = Any(false);
    walk(folder.as_fd(), &mut any)?;
    Ok(any.0)
}
