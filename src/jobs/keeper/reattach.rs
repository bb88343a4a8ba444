//! Starts a keeper for a job that has lost its supervisor and its keeper.
//!
//! This is also for a job whose keeper writes into a file that the job has removed or replaced: without a
//! supervisor nothing would write that file anew under its name ([`super::put_back`]) when the job is over. So it
//! is done now, and a new keeper continues. There are never two keepers on one pipe: each would take a part of
//! the output.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;

use super::put_back::put_back;
use super::stream::start;
use crate::durable::{Disk, DiskError, DiskFile, IoContext, is_held, try_lock};
use crate::jobs::traces::is_keeper;
use crate::queue::JobId;
use crate::state::JobPaths;
use crate::system::{ProcessIdentity, ProcessStat, pids, process_stat, signal_process};

/// How long a keeper may take to stop, and to end.
const STANDS_STILL: Duration = Duration::from_secs(5);
/// The time between two checks of the keeper.
const LOOK: Duration = Duration::from_millis(5);

/// Standard output and standard error.
const STREAMS: [u32; 2] = [1, 2];

/// Starts a keeper when nothing empties the pipe `id`, into which one of these processes prints.
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
    if let Some((keeper, kept)) = keeper_of(&pipe) {
        let kept = DiskFile::of(disk, kept, output.clone());
        if !take_over(disk, keeper, &kept, &output)? {
            return Ok(());
        }
    }
    let file = disk.open_or_create(&output)?;
    if !try_lock(&file)? {
        return Ok(()); // Another process was faster.
    }
    let mut keeper = start(program, job, &pipe, &file).context("start the keeper of", &output)?;
    // The keeper lives as long as the job. Without a thread that waits for it, it stays a zombie until this
    // process ends.
    let _ = std::thread::Builder::new().name("keeper".to_owned()).spawn(move || keeper.wait());
    Ok(())
}

/// The keeper of a pipe, with its output file. The file is found through the keeper, because the lock of a file
/// that the job has removed or replaced cannot be found by the file's name.
fn keeper_of(pipe: &File) -> Option<(ProcessIdentity, File)> {
    let wanted = pipe.metadata().ok()?;
    let is_it = |m: std::fs::Metadata| (m.dev(), m.ino()) == (wanted.dev(), wanted.ino());
    let pid = pids()
        .ok()?
        .into_iter()
        .find(|&pid| is_keeper(pid) && std::fs::metadata(format!("/proc/{pid}/fd/0")).is_ok_and(is_it))?;
    let keeper = ProcessIdentity::of(pid)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let kept = rustix::fs::open(format!("/proc/{pid}/fd/1"), flags, Mode::empty()).ok()?;
    Some((keeper, File::from(kept)))
}

/// Gives the output its name again, and ends the keeper that writes into it without a name. The keeper is stopped
/// meanwhile, and output waits in the pipe. If the file cannot be written, the keeper continues as before. False
/// when the keeper does not stop.
fn take_over(
    disk: &Disk,
    keeper: ProcessIdentity,
    kept: &DiskFile,
    output: &Path,
) -> Result<bool, DiskError> {
    let signal = |signal: Signal| signal_process(keeper, signal).context("signal the keeper of", output);
    let is_at_rest = |is_so: fn(&ProcessStat) -> bool| {
        let begun = Instant::now();
        loop {
            match process_stat(keeper.pid).ok().filter(|stat| stat.identity == keeper) {
                Some(stat) if !is_so(&stat) && begun.elapsed() >= STANDS_STILL => return false,
                Some(stat) if !is_so(&stat) => std::thread::sleep(LOOK),
                _ => return true,
            }
        }
    };
    signal(Signal::STOP)?;
    if !is_at_rest(|stat| stat.is_stopped || stat.is_dead) {
        signal(Signal::CONT)?;
        return Ok(false);
    }
    if let Err(e) = put_back(disk, kept, output) {
        signal(Signal::CONT)?;
        return Err(e);
    }
    signal(Signal::KILL)?;
    Ok(is_at_rest(|stat| stat.is_dead))
}

/// The pipe of this inode, by a descriptor of a process that prints into it.
fn open_pipe(pid: u32, id: u64) -> Option<File> {
    STREAMS.into_iter().find_map(|stream| {
        let path = format!("/proc/{pid}/fd/{stream}");
        let is_it = |m: std::fs::Metadata| m.ino() == id && m.file_type().is_fifo();
        std::fs::metadata(&path).is_ok_and(is_it).then_some(())?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let pipe = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
        // The process may have opened another file under that number since.
        pipe.metadata().is_ok_and(is_it).then_some(pipe)
    })
}
