//! Where the daemon listens. A socket takes the place of one that nobody serves any more, and of nothing else.

use std::fmt;
use std::fs::{FileType, Metadata};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use recovery::daemon::Listening;
use recovery::state::{Exposed, StateDir, check_way};
use rustix::io::Errno;

use crate::socket::SocketPath;

/// Only for the user of the daemon, and root.
const MODE: u32 = 0o600;

/// How long a process that serves a socket may take until it is known.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a socket cannot be used; wrapped in an [`io::Error`].
#[derive(Debug)]
pub(crate) struct SocketRefused {
    pub(crate) path: PathBuf,
    pub(crate) why: Why,
}

#[derive(Debug)]
pub(crate) enum Why {
    /// Something that is not a socket has its name.
    NoSocket(&'static str),
    /// A socket of another user has its name.
    OfAnother(u32),
    /// A process serves it.
    Served,
    /// The new socket is not there, or was replaced.
    Replaced,
    /// Another user could replace it.
    Exposed(Exposed),
}

impl fmt::Display for SocketRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: ", self.path.display())?;
        match &self.why {
            Why::NoSocket(what) => write!(f, "{what} has this name, and no socket"),
            Why::OfAnother(owner) => write!(f, "it is a socket of another user (uid {owner})"),
            Why::Served => f.write_str("a process serves it"),
            Why::Replaced => f.write_str("what was made there was changed or replaced at once"),
            Why::Exposed(exposed) => write!(f, "another user could replace it: {exposed}"),
        }
    }
}

impl std::error::Error for SocketRefused {}

impl SocketRefused {
    /// The one behind an error of the system, if it is one.
    pub(crate) fn behind(error: &io::Error) -> Option<&SocketRefused> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<SocketRefused> for io::Error {
    fn from(refused: SocketRefused) -> io::Error {
        // The error has a kind that an address in use does not have.
        io::Error::other(refused)
    }
}

/// Where it listens.
pub(crate) struct Listeners {
    pub(super) tcp: Option<TcpListener>,
    pub(super) socket: Option<UnixListener>,
    pub(crate) listening: Listening,
    /// Why there is no socket.
    pub(crate) without_socket: Option<String>,
}

impl Listeners {
    /// Begins to listen. The caller holds the daemon's lock.
    ///
    /// A socket that cannot be used is an error when it was requested; otherwise the daemon goes on without
    /// it, and `without_socket` says why.
    ///
    /// # Errors
    /// The system's error; [`SocketRefused`].
    pub(crate) fn bind(
        dir: &StateDir,
        address: Option<&str>,
        socket: &Path,
        is_asked_for: bool,
    ) -> io::Result<Listeners> {
        let tcp = address.map(|address| {
            let about = |e: io::Error| io::Error::new(e.kind(), format!("cannot listen on {address}: {e}"));
            let listener = TcpListener::bind(address).map_err(about)?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>(listener)
        });
        let tcp = tcp.transpose()?;
        let bound = tcp.as_ref().map(TcpListener::local_addr).transpose()?;
        let about = |e: io::Error| match SocketRefused::behind(&e) {
            Some(_) => e,
            None => io::Error::new(e.kind(), format!("cannot listen on {}: {e}", socket.display())),
        };
        let (listener, without_socket) = match listen_on(dir, socket).map_err(about) {
            Ok(listener) => (Some(listener), None),
            Err(e) if is_asked_for => return Err(e),
            Err(e) => (None, Some(e.to_string())),
        };
        let listening = Listening {
            address: bound.map(|a| a.to_string()),
            socket: listener.is_some().then(|| socket.to_owned()),
        };
        Ok(Listeners { tcp, socket: listener, listening, without_socket })
    }
}

fn listen_on(dir: &StateDir, socket: &Path) -> io::Result<UnixListener> {
    let refused = |why| SocketRefused { path: socket.to_owned(), why };
    let check = || check_way(socket).map_err(|exposed| refused(Why::Exposed(exposed)));
    check()?;
    if let Some(found) = found_at(socket)? {
        check_that_nobody_serves(socket, &found).map_err(refused)?;
        match dir.disk.remove_file(socket) {
            Err(e) if !e.is_not_found() => return Err(e.source),
            _ => {}
        }
    }
    let listener = crate::socket::listen(socket)?;
    dir.disk.set_mode(socket, MODE).map_err(|e| e.source)?;
    check()?;
    let made = found_at(socket)?.ok_or_else(|| refused(Why::Replaced))?;
    let is_as_made = made.permissions().mode() & 0o7777 == MODE && is_ours(&made);
    if !made.file_type().is_socket() || !is_as_made {
        return Err(refused(Why::Replaced).into());
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn is_ours(found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw()
}

fn found_at(socket: &Path) -> io::Result<Option<Metadata>> {
    match std::fs::symlink_metadata(socket) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Checks that nobody serves a socket: then what an ended process left may be removed, because it leads to
/// nobody.
fn check_that_nobody_serves(socket: &Path, found: &Metadata) -> Result<(), Why> {
    if !found.file_type().is_socket() {
        return Err(Why::NoSocket(kind_of(found.file_type())));
    }
    if !is_ours(found) {
        return Err(Why::OfAnother(found.uid()));
    }
    match connected(socket) {
        Some(Err(e)) if Errno::from_io_error(&e) == Some(Errno::CONNREFUSED) => Ok(()),
        // The socket is gone meanwhile.
        Some(Err(e)) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        // The socket was reached, or its process is too busy to answer, or it is of another kind: somebody
        // uses it.
        _ => Err(Why::Served),
    }
}

/// Whether it can be connected to; `None` when that takes too long.
fn connected(socket: &Path) -> Option<io::Result<()>> {
    let (tell, told) = std::sync::mpsc::channel();
    let socket = socket.to_owned();
    let connect = move || {
        let connected = SocketPath::of(&socket).and_then(|path| UnixStream::connect(path.as_path()));
        // The receiver does not wait any more.
        let _ = tell.send(connected.map(drop));
    };
    std::thread::Builder::new().name("connect".to_owned()).spawn(connect).ok()?;
    told.recv_timeout(PATIENCE).ok()
}

fn kind_of(kind: FileType) -> &'static str {
    match () {
        () if kind.is_file() => "a regular file",
        () if kind.is_dir() => "a folder",
        () if kind.is_symlink() => "a link",
        () if kind.is_fifo() => "a named pipe",
        () => "a device",
    }
}
