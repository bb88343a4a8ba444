//! The files of the daemon's tokens and of the signing secret, and when they are trusted.
//!
//! Such a file must be as recoveryctl writes it: a regular file with one name in its own folder, which belongs to
//! root or to this user, and which no one else may read or write. It is opened through the descriptor of the
//! folder that was opened as the state directory, never through its path, which may lead to another folder by
//! now.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::directory::StateDir;
use super::exposure::{Exposed, check_file, check_way};
use crate::durable::{DiskError, IoContext};

/// Hexadecimal digits of a token.
const DIGITS: usize = 64;
/// Of a longer file only this many bytes are read.
const LONGEST: u64 = 256;

/// Why such a file is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Distrust {
    /// There is none.
    #[error("there is none")]
    Missing,
    /// Something else than a regular file.
    #[error("it is not a regular file")]
    NotAFile,
    /// The file belongs to another user.
    #[error("the file belongs to another user (uid {0})")]
    Owner(u32),
    /// Others may read the file, or write to it.
    #[error("others may read or write the file (mode {0:04o})")]
    Mode(u32),
    /// The file has a second name.
    #[error("the file has {0} names: another one may be anywhere")]
    Names(u64),
    /// The file's content is no token.
    #[error("the file holds no {0}")]
    Content(&'static str),
    /// Another user can change the folder, or one above it.
    #[error(transparent)]
    Folder(#[from] Exposed),
}

impl StateDir {
    /// Reads one of this directory's tokens.
    ///
    /// # Errors
    /// The system's error, except that there is none.
    pub(crate) fn token_in(&self, file: &Path) -> Result<Result<String, Distrust>, DiskError> {
        let is_token = |text: &str| text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
        Ok(self.held_in(file, is_token)?.map_err(|distrust| match distrust {
            Distrust::Content(_) => Distrust::Content("token"),
            other => other,
        }))
    }

    /// Reads a secret that only this user and root know, without surrounding white space, if it `fits`.
    ///
    /// # Errors
    /// The system's error, except that there is none.
    pub(crate) fn held_in(
        &self,
        file: &Path,
        fits: impl Fn(&str) -> bool,
    ) -> Result<Result<String, Distrust>, DiskError> {
        let Some(folder) = file.parent() else { return Ok(Err(Distrust::Missing)) };
        if let Err(exposed) = check_way(self.paths.root()) {
            return Ok(Err(exposed.into()));
        }
        match self.open_folder(folder) {
            Ok(opened) => match check_file(folder, &opened.metadata().context("look at", folder)?) {
                Ok(()) => text_of(&opened, file, fits),
                Err(exposed) => Ok(Err(exposed.into())),
            },
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(Err(Distrust::Missing)),
            Err(e) => Err(io::Error::from(e)).context("open", folder),
        }
    }

    /// A folder of this directory, by the descriptor that the directory was opened with.
    fn open_folder(&self, folder: &Path) -> rustix::io::Result<File> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = folder.strip_prefix(self.paths.root()).ok();
        let opened: OwnedFd = match self.disk.home().and_then(crate::durable::Home::as_folder).zip(name) {
            Some((root, name)) => rustix::fs::openat(root, name, flags, Mode::empty())?,
            None => rustix::fs::openat(CWD, folder, flags, Mode::empty())?,
        };
        Ok(File::from(opened))
    }
}

fn text_of(
    folder: &File,
    file: &Path,
    fits: impl Fn(&str) -> bool,
) -> Result<Result<String, Distrust>, DiskError> {
    let name = file.file_name().map(PathBuf::from).unwrap_or_default();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = match rustix::fs::openat(folder.as_fd(), &name, flags, Mode::empty()) {
        Ok(opened) => File::from(opened),
        Err(Errno::NOENT) => return Ok(Err(Distrust::Missing)),
        // It is a link or a socket.
        Err(Errno::LOOP | Errno::NXIO) => return Ok(Err(Distrust::NotAFile)),
        Err(e) => return Err(io::Error::from(e)).context("open", file),
    };
    if let Err(distrust) = check(&opened.metadata().context("look at", file)?) {
        return Ok(Err(distrust));
    }
    let mut text = Vec::new();
    opened.take(LONGEST).read_to_end(&mut text).context("read", file)?;
    let text = std::str::from_utf8(text.trim_ascii()).ok().filter(|text| fits(text));
    Ok(text.map(str::to_owned).ok_or(Distrust::Content("secret")))
}

fn check(opened: &Metadata) -> Result<(), Distrust> {
    let (owner, mode) = (opened.uid(), opened.mode() & 0o7777);
    match () {
        () if !opened.is_file() => Err(Distrust::NotAFile),
        () if owner != 0 && owner != rustix::process::geteuid().as_raw() => Err(Distrust::Owner(owner)),
        () if mode & 0o077 != 0 => Err(Distrust::Mode(mode)),
        () if opened.nlink() != 1 => Err(Distrust::Names(opened.nlink())),
        () => Ok(()),
    }
}
