//! The pipe that a command prints into.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::{Mode, OFlags};

use crate::durable::{Disk, DiskError, IoContext};
use crate::logging::events;
use crate::state::JobPaths;
use tracing::debug;

/// The capacity of a pipe, in bytes, where the system allows it: enough that a fast-printing command seldom
/// waits, and small enough for some hundred jobs of one user (`fs.pipe-user-pages-soft`).
const CAPACITY: i32 = 256 << 10;
/// All users may open it for writing: a command that has become another user may reopen its own standard
/// error. No other process can reach the pipe, which has no name.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::WGRP).union(Mode::WOTH);

/// Both ends of a pipe.
#[derive(Debug)]
pub(in crate::jobs) struct OutputPipe {
    reader: File,
    writer: OwnedFd,
    id: u64,
}

impl OutputPipe {
    /// Makes a pipe. For a moment it has a name beside the job's output, which the descriptors of its writers
    /// show from then on; it has no name where none can be given.
    ///
    /// # Errors
    /// The system's error, such as that there are no descriptors left.
    pub(in crate::jobs) fn new(disk: &Disk, paths: &JobPaths) -> io::Result<OutputPipe> {
        let (reader, writer) = match named(disk, &paths.output_pipe()) {
            Ok(ends) => ends,
            Err(e) => {
                debug!(event = events::TROUBLE, "the pipe of the job's output has no name: {e}");
                let (reader, writer) = io::pipe()?;
                (File::from(OwnedFd::from(reader)), OwnedFd::from(writer))
            }
        };
        size_of_output_pipe(&writer);
        // If this is refused, only the server's user can open the pipe anew.
        let _ = rustix::fs::fchmod(&writer, MODE);
        let id = reader.metadata()?.ino();
        rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
        Ok(OutputPipe { reader, writer, id })
    }

    /// Its inode, as in the link `pipe:[7]` of a descriptor of a pipe that never had a name.
    pub(in crate::jobs) fn id(&self) -> u64 {
        self.id
    }

    /// Opens one of the command's own descriptors. Each is opened separately, so that a command that makes its
    /// standard output non-blocking leaves its standard error as it was; and for reading too (see `keeper`).
    pub(in crate::jobs) fn end_of_command(&self) -> io::Result<Stdio> {
        let own = format!("/proc/self/fd/{}", self.writer.as_raw_fd());
        match rustix::fs::open(&own, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(fd.into()),
            // Without /proc the pipe cannot be opened a second time; output is kept all the same.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::ACCESS) => Ok(self.writer.try_clone()?.into()),
            Err(e) => Err(e.into()),
        }
    }

    /// Keeps the end that is emptied; from here on only the command has the command's end.
    pub(in crate::jobs) fn into_reader(self) -> File {
        self.reader
    }
}

/// Both ends of a pipe that has lost its name again.
fn named(disk: &Disk, path: &Path) -> Result<(File, OwnedFd), DiskError> {
    if std::fs::symlink_metadata(path).is_ok() {
        // A supervisor was killed while the pipe had the name.
        disk.remove_file(path)?;
    }
    disk.create_fifo(path)?;
    let open = |flags: OFlags| {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from).context("open", path)
    };
    let opened = open(OFlags::RDWR).and_then(|writer| Ok((File::from(open(OFlags::RDONLY)?), writer)));
    disk.remove_file(path)?;
    let (reader, writer) = opened?;
    rustix::fs::fcntl_setfl(&writer, OFlags::empty()).map_err(io::Error::from).context("set up", path)?;
    Ok((reader, writer))
}

/// Gives a pipe the capacity of a job's output pipe. If this is refused, the pipe keeps the default capacity.
pub fn size_of_output_pipe(end: impl AsFd) {
    // See above.
    let _ = fcntl(end, FcntlArg::F_SETPIPE_SZ(CAPACITY));
}

/// The pipe that a descriptor of a process leads to; `None` when it leads elsewhere, or may not be examined.
pub(in crate::jobs) fn pipe_of(pid: u32, descriptor: u32) -> Option<u64> {
    let link = std::fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).ok()?;
    link.to_str()?.strip_prefix("pipe:[")?.strip_suffix(']')?.parse().ok()
}
