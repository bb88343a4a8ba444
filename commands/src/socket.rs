//! Unix sockets whose path may be of any length. An address holds 107 bytes; a longer path is reached through a
//! descriptor of the folder that it lies in.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

/// Bytes of a path that fit into an address, the NUL behind it left out.
const FITS: usize = 107;

/// A path by which a socket can be bound, or connected to, as long as this lives.
#[derive(Debug)]
pub(crate) struct SocketPath {
    path: PathBuf,
    _folder: Option<OwnedFd>,
}

impl SocketPath {
    /// # Errors
    /// When the folder cannot be opened, or the socket's own name is too long.
    pub(crate) fn of(path: &Path) -> io::Result<SocketPath> {
        let parts = path.parent().zip(path.file_name()).filter(|_| path.as_os_str().len() > FITS);
        let Some((folder, name)) = parts else {
            return Ok(SocketPath { path: path.to_owned(), _folder: None });
        };
        let folder = open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        if path.as_os_str().as_bytes().len() > FITS {
            let why = format!("the socket's own name has {} bytes: too long", name.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(SocketPath { path, _folder: Some(folder) })
    }

    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }
}

/// Listens on a path of any length.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    UnixListener::bind(SocketPath::of(path)?.as_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_is_bound_and_reached_by_a_path_of_any_length() {
        let folder = tempfile::tempdir().unwrap();
        for length in [10, 106, 107, 108, 180] {
            let own = folder.path().as_os_str().len() + 1 + "/s".len();
            let below = folder.path().join("d".repeat(length.max(own + 1) - own));
            recovery::durable::Disk::real().create_dir(&below).unwrap();
            let path = below.join("s");
            let listener = listen(&path).unwrap();
            let short = SocketPath::of(&path).unwrap();
            std::os::unix::net::UnixStream::connect(short.as_path()).unwrap();
            listener.accept().unwrap();
            assert!(path.exists(), "{length}");
        }
    }

    #[test]
    fn name_that_is_too_long_itself_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let refused = listen(&folder.path().join("s".repeat(200))).unwrap_err();
        assert!(refused.to_string().contains("too long"), "{refused}");
    }
}
