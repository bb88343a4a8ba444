//! The possible author of something on disk, and that user's rights.
//!
//! A tree that a job left may have been written by a user other than this process's, and the daemon often runs as
//! root. Such a tree can name anything: a repository elsewhere, a file of root, a device. So the places outside
//! of itself that it names are opened with the rights of its [`Author`], and programs that read the tree run as
//! that user. Nothing is opened for the author that the author could not open.
//!
//! The author is derived from owners: of the tree's folder and of the file with the name. Root and this process's
//! own user count as [`Author::Ourselves`]: they have all these rights anyway. Where two other users were
//! involved, or where every user may write, the rights of the user `nobody` apply.

use std::io;

use nix::unistd::{Gid, Uid, User};
use rustix::fs::{FileType, Stat};

/// The user that owns nothing.
const NOBODY: u32 = 65_534;
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_ENTER: u32 = 0o001;
const STICKY: u32 = 0o1000;

/// The possible author.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Author {
    /// This user, or root.
    #[default]
    Ourselves,
    /// The user of this number.
    Other(u32),
}

/// The user that a program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
}

impl Author {
    /// The author by an owner and mode. In a folder with the sticky bit every user can make entries, but no one
    /// can exchange those of others. The mode of a link means nothing.
    pub(crate) fn of(found: &Stat) -> Author {
        let own = rustix::process::geteuid().as_raw();
        let (mode, is_link) = (found.st_mode, FileType::from_raw_mode(found.st_mode).is_symlink());
        match found.st_uid {
            uid if uid != 0 && uid != own => Author::Other(uid),
            _ if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 && !is_link => Author::Other(NOBODY),
            _ => Author::Ourselves,
        }
    }

    /// The author of something in which both had a part.
    pub(crate) fn and(self, other: Author) -> Author {
        match (self, other) {
            (Author::Ourselves, author) | (author, Author::Ourselves) => author,
            (one, two) if one == two => one,
            _ => Author::Other(NOBODY),
        }
    }

    /// Whether the author may read a file, by the file's mode alone: groups and access control lists are not
    /// examined.
    pub(crate) fn may_read(self, found: &Stat) -> bool {
        self.has(found, OTHERS_READ)
    }

    /// Whether the author may list and enter a folder.
    pub(crate) fn may_list(self, found: &Stat) -> bool {
        self.has(found, OTHERS_READ | OTHERS_ENTER)
    }

    fn has(self, found: &Stat, bits: u32) -> bool {
        match self {
            Author::Ourselves => true,
            Author::Other(uid) => found.st_uid == uid || found.st_mode & bits == bits,
        }
    }

    /// The account as which a program runs on the author's behalf, with all its groups or only the first; `None`:
    /// as this user. Only root can become another user.
    pub(crate) fn account(self, with_groups: bool) -> Option<Account> {
        let Author::Other(uid) = self else { return None };
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        // The group of a file is not necessarily its owner's: it may be root's.
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let gid = user.as_ref().map_or(NOBODY, |user| user.gid.as_raw());
        let name = user.filter(|_| with_groups).and_then(|user| std::ffi::CString::new(user.name).ok());
        let groups = name.and_then(|name| nix::unistd::getgrouplist(&name, Gid::from_raw(gid)).ok());
        let groups = groups.unwrap_or_default().into_iter().map(Gid::as_raw).collect();
        Some(Account { uid, gid, groups })
    }

    /// Acts with the author's file rights, on a thread of its own, because these rights belong to a thread. Only
    /// file rights change (setfsuid(2)), so the other user can neither signal nor trace this process.
    ///
    /// # Errors
    /// When the author's rights cannot be assumed.
    pub(crate) fn act<T: Send>(self, act: impl FnOnce() -> T + Send) -> io::Result<T> {
        let Author::Other(uid) = self else { return Ok(act()) };
        let Some(account) = self.account(false) else {
            let why = format!("it belongs to user {uid}, and only root can look with that user's rights");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        };
        std::thread::scope(|scope| {
            let acting = move || {
                take_rights(&account)?;
                Ok(act())
            };
            let thread =
                std::thread::Builder::new().name("as-author".to_owned()).spawn_scoped(scope, acting)?;
            thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("looking with another user's rights failed")))
        })
    }
}

/// Gives this thread another user's rights to files.
fn take_rights(account: &Account) -> io::Result<()> {
    rustix::thread::set_thread_groups(&[])?;
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    // These calls return only the previous value.
    nix::unistd::setfsgid(gid);
    nix::unistd::setfsuid(uid);
    if nix::unistd::setfsgid(gid) != gid || nix::unistd::setfsuid(uid) != uid {
        let why = format!("the rights of user {uid} cannot be had");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Makes what is looked at.
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn stat(uid: u32, mode: u32) -> Stat {
        let mut found = rustix::fs::stat("/").unwrap();
        (found.st_uid, found.st_mode) = (uid, mode);
        found
    }

    #[test]
    fn author_by_owner_and_mode() {
        let own = rustix::process::geteuid().as_raw();
        for (uid, mode, author) in [
            (0, 0o40755, Author::Ourselves),
            (own, 0o40700, Author::Ourselves),
            (0, 0o41777, Author::Ourselves),
            (0, 0o40777, Author::Other(NOBODY)),
            (0, 0o120777, Author::Ourselves),
            (61_000, 0o40755, Author::Other(61_000)),
        ] {
            assert_eq!(Author::of(&stat(uid, mode)), author, "{uid} {mode:o}");
        }
        let [one, two] = [61_000, 61_001].map(Author::Other);
        assert_eq!((one.and(Author::Ourselves), Author::Ourselves.and(one), one.and(one)), (one, one, one));
        assert_eq!((one.and(two), one.and(two).and(one)), (Author::Other(NOBODY), Author::Other(NOBODY)));
        assert!(one.may_read(&stat(61_000, 0o100_000)) && one.may_read(&stat(0, 0o100_644)));
        assert!(!one.may_read(&stat(0, 0o100_640)) && Author::Ourselves.may_read(&stat(5, 0o100_000)));
        assert!(one.may_list(&stat(0, 0o40_755)) && !one.may_list(&stat(0, 0o40_754)));
    }

    #[test]
    fn author_cannot_open_more_than_itself() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("secret");
        std::fs::write(&file, "x").unwrap();
        let read = || std::fs::File::open(&file).map(drop).map_err(|e| e.kind());
        let other = Author::Other(61_000);
        if !rustix::process::geteuid().is_root() {
            assert_eq!(other.act(read).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            return;
        }
        let mode = |path: &std::path::Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(place.path(), 0o755);
        mode(&file, 0o600);
        assert_eq!(other.act(read).unwrap(), Err(io::ErrorKind::PermissionDenied));
        mode(&file, 0o644);
        assert_eq!(other.act(read).unwrap(), Ok(()));
        // This thread keeps its rights.
        mode(&file, 0o600);
        assert_eq!((read(), Author::Ourselves.act(read).unwrap()), (Ok(()), Ok(())));
    }
}
