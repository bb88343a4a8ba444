//! A keeper for a job that has lost its supervisor and its keeper.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use rustix::fs::{Mode, OFlags};

use super::stream::start;
use crate::durable::{Disk, DiskError, Tried, is_held, try_lock};
use crate::queue::JobId;
use crate::state::JobPaths;
use crate::system::ProcessIdentity;

/// Standard output and standard error.
const STREAMS: [u32; 2] = [1, 2];

/// Starts a keeper when nobody empties the pipe `id`, into which one of these processes prints.
///
/// # Errors
/// What the system says.
pub(in crate::jobs) fn reattach(
    disk: &Disk,
    job: &JobId,
    paths: &JobPaths,
    id: u64,
    processes: impl FnOnce() -> Vec<ProcessIdentity>,
    program: &[OsString],
) -> Result<(), DiskError> {
    let output = paths.output();
    match is_held(&output) {
        Ok(true) => return Ok(()),
        Err(e) if !e.is_not_found() => return Err(e),
        _ => {}
    }
    let Some(pipe) = processes().iter().find_map(|process| open_pipe(process.pid, id)) else { return Ok(()) };
    let file = disk.open_or_create(&output)?;
    if !try_lock(&file)? {
        return Ok(()); // Somebody else was faster.
    }
    let mut keeper = start(program, job, &pipe, &file).tried("start the keeper of", &output)?;
    // It lives as long as the job. Where no thread can be made, it stays a zombie until this process ends.
    let _ = std::thread::Builder::new().name("keeper".to_owned()).spawn(move || keeper.wait());
    Ok(())
}

/// The pipe of this inode, by a descriptor of a process that prints into it.
fn open_pipe(pid: u32, id: u64) -> Option<File> {
    STREAMS.into_iter().find_map(|stream| {
        let path = format!("/proc/{pid}/fd/{stream}");
        let is_it = |m: std::fs::Metadata| m.ino() == id && m.file_type().is_fifo();
        std::fs::metadata(&path).is_ok_and(is_it).then_some(())?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let pipe = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
        // The process may have opened something else in its place since.
        pipe.metadata().is_ok_and(is_it).then_some(pipe)
    })
}
