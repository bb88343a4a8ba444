//! Reads all sources of uses once: the mounts of this process, the processes, and the kernel itself.

use std::path::{Path, PathBuf};

use super::mounts::MountTable;
use super::picture::{Areas, Picture};

impl Picture {
    pub(super) fn of(folders: &[PathBuf]) -> Picture {
        let mut picture = Picture::default();
        match MountTable::of(Path::new("/proc/self")) {
            Ok(own) => picture.own = own,
            Err(e) => picture.blind = Some(format!("the mounts of this process cannot be read: {e}")),
        }
        picture.areas = Areas::new(folders, &picture.own);
        let roots = super::processes::gather(&mut picture);
        super::kernel::gather(&mut picture, &roots);
        picture
    }
}
