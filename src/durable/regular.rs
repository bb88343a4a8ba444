//! Opening files that another user or a job may have exchanged: such a file can neither block the reader, nor
//! exhaust its memory, nor lead it to another place.
//!
//! A link at the end of a path is not followed, a pipe is not waited for, and anything but a regular file is
//! an error that names its kind. The folders of the path are those of the state directory, which no other
//! user can change; a path through folders of others is opened by [`open_theirs`].

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat, openat2, readlinkat,
    statat,
};
use rustix::io::Errno;

/// The flags for opening a name behind which anything may be.
pub(super) const CAREFUL: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);
/// Links followed on one path, as many as the kernel follows.
const MOST_LINKS: u32 = 40;
/// The mode bit by which only its owner may rename or remove a folder's entry.
const STICKY: u32 = 0o1000;

/// Something that is not a regular file has the file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is {what}, not a regular file")]
struct NotRegular {
    what: &'static str,
}

/// A file has more than one name, so it may belong to another user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it has {names} names (hard links), so it may belong to another user")]
struct NotSole {
    names: u64,
}

/// A file is longer than any file of its kind should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is {bytes} bytes long, and at most {most} are read")]
pub struct TooLong {
    bytes: u64,
    most: u64,
}

fn not_regular(kind: FileType) -> io::Error {
    let (error, what) = match kind {
        FileType::Directory => (io::ErrorKind::IsADirectory, "a folder"),
        FileType::Symlink => (io::ErrorKind::InvalidInput, "a symbolic link"),
        FileType::Fifo => (io::ErrorKind::InvalidInput, "a named pipe"),
        FileType::Socket => (io::ErrorKind::InvalidInput, "a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => (io::ErrorKind::InvalidInput, "a device"),
        _ => (io::ErrorKind::InvalidInput, "of an unknown kind"),
    };
    io::Error::new(error, NotRegular { what })
}

/// Whether an error says that the name belongs to something other than a regular file.
pub(crate) fn is_not_regular(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NotRegular>() || inner.is::<NotSole>())
}

/// Opens a file for reading.
///
/// # Errors
/// The system's error, with [`NotRegular`] as its source when that is the reason (kind `InvalidInput` or
/// `IsADirectory`).
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    open_carefully(path, OFlags::RDONLY, Mode::empty())
}

/// Reads a whole file of at most `most` bytes.
///
/// # Errors
/// As [`open_regular`]; [`TooLong`] inside of an error of the kind `FileTooLarge`.
pub(crate) fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_at_most(&open_regular(path)?, most)
}

/// Reads the rest of an open file, at most `most` bytes.
///
/// # Errors
/// The system's error, with [`TooLong`] as its source (kind `FileTooLarge`).
pub(crate) fn read_at_most(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let bytes = file.metadata().map_or(most + 1, |found| found.len());
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, TooLong { bytes, most }));
    }
    Ok(bytes)
}

/// Opens or makes a file; it is an error when the name belongs to anything but a regular file.
pub(super) fn open_carefully(path: &Path, flags: OFlags, mode: Mode) -> io::Result<File> {
    match open(path, flags | CAREFUL, mode) {
        Ok(file) => checked(file),
        // A link; a socket, or a device without a driver.
        Err(e @ (Errno::LOOP | Errno::NXIO | Errno::NODEV)) => {
            Err(match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) if kind_of(&found) != FileType::RegularFile => not_regular(kind_of(&found)),
                _ => e.into(),
            })
        }
        Err(e) => Err(e.into()),
    }
}

fn checked(file: OwnedFd) -> io::Result<File> {
    match kind_of(&fstat(&file)?) {
        FileType::RegularFile => Ok(File::from(file)),
        other => Err(not_regular(other)),
    }
}

fn check_sole(found: &Stat) -> io::Result<()> {
    #[allow(clippy::useless_conversion)] // It has 32 bits on some machines.
    match u64::from(found.st_nlink) {
        0 | 1 => Ok(()),
        names => Err(io::Error::new(io::ErrorKind::InvalidInput, NotSole { names })),
    }
}

fn kind_of(found: &Stat) -> FileType {
    FileType::from_raw_mode(found.st_mode)
}

/// Opens a file for reading whose path leads through folders of other users, such as the output of an adopted job
/// of another server.
///
/// Links are followed only while no one but root or this user could have made them: in folders that belong to
/// these two and that no other user may write. From the first other folder on, no link is followed, no mount is
/// crossed, and the path cannot leave that folder upwards; the file must be regular and have one name.
pub(crate) fn open_theirs(path: &Path) -> io::Result<File> {
    let mut left = components(&std::path::absolute(path)?);
    let mut at = open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut links = 0;
    loop {
        let Some(name) = left.pop_front() else { return Err(not_regular(FileType::Directory)) };
        if !is_ours(&fstat(&at)?) {
            left.push_front(name);
            return open_below(at, &left.iter().collect::<PathBuf>());
        }
        let found = statat(&at, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        match kind_of(&found) {
            FileType::Symlink if is_trusted(found.st_uid) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::LOOP.into());
                }
                let target = readlinkat(&at, &name, Vec::new())?;
                let target = PathBuf::from(OsStr::from_bytes(target.to_bytes()));
                if target.is_absolute() {
                    at = open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
                }
                for part in components(&target).into_iter().rev() {
                    left.push_front(part);
                }
            }
            FileType::Directory => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                at = openat(&at, &name, flags, Mode::empty())?;
            }
            FileType::RegularFile if left.is_empty() => return open_below(at, Path::new(&name)),
            FileType::RegularFile => return Err(io::ErrorKind::NotADirectory.into()),
            other => return Err(not_regular(other)),
        }
    }
}

fn components(path: &Path) -> VecDeque<OsString> {
    let named = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    named.map(OsStr::to_owned).collect()
}

fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Whether only root and this user can create names in a folder, or at least no other user can remove the names
/// that these two created.
fn is_ours(folder: &Stat) -> bool {
    is_trusted(folder.st_uid) && (folder.st_mode & 0o022 == 0 || folder.st_mode & STICKY != 0)
}

/// Opens a file below a folder, without following a link, crossing a mount or leaving the folder upwards.
fn open_below(folder: OwnedFd, path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | CAREFUL;
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    let opened = match openat2(&folder, path, flags, Mode::empty(), resolve) {
        // The call is filtered, or the kernel is older than Linux 5.6.
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(folder, path, flags),
        Err(Errno::LOOP) => return Err(not_regular(FileType::Symlink)),
        opened => opened,
    };
    let file = checked(opened?)?;
    check_sole(&fstat(&file)?)?;
    Ok(file)
}

fn step_by_step(mut folder: OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let device = fstat(&folder)?.st_dev;
    let mut names = components(path);
    let Some(last) = names.pop_back() else { return Err(Errno::ISDIR) };
    for name in names {
        if name == ".." {
            return Err(Errno::XDEV);
        }
        let below = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        folder = openat(folder.as_fd(), &name, below, Mode::empty())?;
        if fstat(&folder)?.st_dev != device {
            return Err(Errno::XDEV);
        }
    }
    openat(&folder, &last, flags, Mode::empty())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn what(error: &io::Error) -> String {
        error.get_ref().map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn open_regular_refuses_special_files() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::write(at("secret"), "secret").unwrap();
        symlink(at("secret"), at("link")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _served = UnixListener::bind(at("socket")).unwrap();
        let all = [
            ("link", "a symbolic link"),
            ("dangling", "a symbolic link"),
            ("zero", "a symbolic link"),
            ("folder", "a folder"),
            ("pipe", "a named pipe"),
            ("socket", "a socket"),
        ];
        for (name, kind) in all {
            for flags in [OFlags::RDONLY, OFlags::RDWR, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE] {
                let error = open_carefully(&at(name), flags, Mode::RUSR).unwrap_err();
                let is_folder = error.kind() == io::ErrorKind::IsADirectory && name == "folder";
                let told = what(&error).contains(kind) && is_not_regular(&error);
                assert!(told || is_folder, "{name} {flags:?}: {error:?}");
            }
        }
        assert!(!at("nothing").exists());
        assert_eq!(read_regular(&at("secret"), 6).unwrap(), b"secret");
        let error = read_regular(&at("secret"), 5).unwrap_err();
        assert_eq!(what(&error), "it is 6 bytes long, and at most 5 are read");
    }

    #[test]
    fn open_theirs_follows_only_own_links() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for folder in ["real", "real/theirs", "real/theirs/deep"] {
            fs::create_dir(at(folder)).unwrap();
        }
        fs::write(at("secret"), "secret").unwrap();
        fs::write(at("real/theirs/deep/output"), "printed").unwrap();
        symlink("real", at("ours")).unwrap();
        symlink(at("real"), at("whole")).unwrap();
        symlink(at("secret"), at("real/theirs/deep/link")).unwrap();
        symlink("../..", at("real/theirs/deep/up")).unwrap();
        symlink("deep", at("real/theirs/other")).unwrap();
        fs::set_permissions(at("real/theirs"), fs::Permissions::from_mode(0o777)).unwrap();
        let read = |name: &str| {
            let mut text = String::new();
            open_theirs(&at(name)).map(|mut file| file.read_to_string(&mut text).map(|_| text))
        };
        for name in ["real/theirs/deep/output", "ours/theirs/deep/output", "whole/theirs/deep/output"] {
            assert_eq!(read(name).unwrap().unwrap(), "printed", "{name}");
        }
        for name in ["link", "up/output", "../other/output", "../../theirs/deep/output"] {
            read(&format!("ours/theirs/deep/{name}")).unwrap_err();
        }
        assert!(read("ours/theirs/deep/missing").unwrap_err().kind() == io::ErrorKind::NotFound);
        fs::hard_link(at("secret"), at("real/theirs/deep/second")).unwrap();
        assert!(is_not_regular(&read("ours/theirs/deep/second").unwrap_err()));
    }
}
