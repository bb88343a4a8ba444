//! Files that a state directory shares with another folder by hard links, as `cp -al`, `rsync --link-dest`
//! and `rsnapshot` make instead of a copy. A file that is replaced whole stops being shared; one that is
//! written in place (segments of logs, locks, the commit page, output) would change in the other folder too.
//! So before such a directory begins a life of its own, each of these files gets a copy of its own.
//!
//! Workspaces are left out: they belong to the jobs, may belong to another user, and often contain hard links.
//! Only in a directory of layout 2 are the server's own files in workspaces, and there only the workspaces that
//! still belong to the server count.

use std::ffi::OsStr;
use std::fs::DirEntry;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::StatePaths;
use super::paths::{ATTEMPT_FILES, EARLIER};
use crate::durable::{Disk, DiskError, IoContext, replace_with};

/// Folders in which no file is written in place.
const NOT_WRITTEN: [&str; 4] = ["archive", "quarantine", "trash", "git"];

/// Gives each shared file that is written in place a copy of its own.
///
/// # Errors
/// The system's error; the next call continues.
pub(super) fn unshare(disk: &Disk, paths: &StatePaths) -> Result<(), DiskError> {
    let jobs = paths.jobs();
    each_entry(paths.root(), &mut |entry| {
        let path = entry.path();
        if path == jobs { Ok(()) } else { unshare_all(disk, paths, &path) }
    })?;
    if !paths.may_be_in_workspaces() {
        return Ok(());
    }
    each_entry(&jobs, &mut |job| {
        let is_name = !job.file_name().as_encoded_bytes().starts_with(b".");
        if !is_name || !is_folder(job)? || !paths.is_of_the_server(&job.path()) {
            return Ok(());
        }
        let own = ATTEMPT_FILES.iter().chain(&[EARLIER]);
        own.into_iter().try_for_each(|name| unshare_all(disk, paths, &job.path().join(name)))
    })
}

/// A file, or all files below a folder.
fn unshare_all(disk: &Disk, paths: &StatePaths, path: &Path) -> Result<(), DiskError> {
    let found = match path.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.context("look at", path)?,
    };
    if found.is_dir() {
        let is_written = !NOT_WRITTEN.iter().any(|name| path.file_name() == Some(OsStr::new(name)));
        let mut each = |entry: &DirEntry| unshare_all(disk, paths, &entry.path());
        return if is_written { each_entry(path, &mut each) } else { Ok(()) };
    }
    // The caller holds the lock of the identity. Replacing that file would let other processes take the lock at
    // the same time.
    let is_in_place = path.extension() != Some(OsStr::new("json")) && path != paths.state_lock();
    let is_ours = found.uid() == rustix::process::geteuid().as_raw();
    if found.is_file() && found.nlink() > 1 && is_in_place && is_ours {
        replace_with(disk, path, |out| io::copy(&mut crate::durable::plain::open(path)?, out).map(drop))?;
        disk.set_mode(path, found.permissions().mode() & 0o777)?;
    }
    Ok(())
}

fn is_folder(entry: &DirEntry) -> Result<bool, DiskError> {
    entry.file_type().map(|kind| kind.is_dir()).context("look at", &entry.path())
}

/// The entries of a folder; none when it is absent.
fn each_entry(
    folder: &Path,
    each: &mut dyn FnMut(&DirEntry) -> Result<(), DiskError>,
) -> Result<(), DiskError> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.context("list", folder)?,
    };
    // Read all names first: files are replaced while their folder is read.
    let entries = entries.collect::<io::Result<Vec<_>>>().context("list", folder)?;
    entries.iter().try_for_each(each)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests write their own files.
mod tests {
    use super::*;

    #[test]
    fn unshare_copies_files_written_in_place() {
        let place = tempfile::tempdir().unwrap();
        let (state, other) = (place.path().join("state"), place.path().join("other"));
        std::fs::create_dir(&other).unwrap();
        let all = [
            ("queue/log/1.log", true),
            ("queue/append.lock", true),
            ("attempts/b/output.log", true),
            ("attempts/b/1/output.log", true),
            ("jobs/a/output.log", true),
            ("jobs/a/attempts/1/output.log", true),
            ("jobs/a/data", false),
            ("state.json", false),
            ("state.lock", false),
            ("cleanup/archive/a.1.tar", false),
        ];
        for (number, (name, _)) in all.iter().enumerate() {
            let path = state.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, name).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
            std::fs::hard_link(&path, other.join(number.to_string())).unwrap();
        }
        unshare(&Disk::real(), &StatePaths::new(state.clone())).unwrap();
        let of_workspace = |name: &str| name.starts_with("jobs/a/");
        for (name, _) in all.iter().filter(|(name, _)| of_workspace(name)) {
            assert!(state.join(name).metadata().unwrap().nlink() > 1, "{name} is the job's");
        }
        unshare(&Disk::real(), &StatePaths::new(state.clone()).of_layout_2()).unwrap();
        for (name, is_own) in all {
            let found = state.join(name).metadata().unwrap();
            assert_eq!(found.nlink() == 1, is_own, "{name}");
            assert_eq!(found.mode() & 0o7777, 0o640, "{name}");
            assert_eq!(std::fs::read_to_string(state.join(name)).unwrap(), name);
        }
    }
}
