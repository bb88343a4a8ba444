//! Mount namespaces without a process, kept by a file (`unshare --mount=FILE`; snapd has one for each
//! program). A mount there counts as a use too.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{Mode, OFlags, open, openat};

/// The list of the mounts in the namespace that a file keeps, in the form of `mountinfo`. Only root may read it.
pub(super) fn mounts_of(file: &Path) -> io::Result<Vec<u8>> {
    let namespace = crate::durable::plain::open(file)?;
    // A thread enters the namespace, and ends there because it could not come back.
    let looking = std::thread::Builder::new().spawn(move || -> io::Result<Vec<u8>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // The namespace may have no /proc.
        let own = open("/proc/thread-self", flags, Mode::empty())?;
        unshare(CloneFlags::CLONE_FS)?;
        setns(namespace, CloneFlags::CLONE_NEWNS)?;
        let list = openat(own, "mountinfo", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = Vec::new();
        File::from(list).read_to_end(&mut text)?;
        Ok(text)
    })?;
    looking.join().unwrap_or_else(|_| Err(io::Error::other("the thread that was to look has died")))
}
