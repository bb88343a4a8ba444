//! Writes the output of a job anew under its name when the job has removed or renamed it and nothing prints any
//! more.
//!
//! A job of the server's user may remove the files about its attempts. Its output then goes into the file without
//! a name, from which it is copied here. A file that has the name now is the job's own, and gets another name.

use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::durable::{Disk, DiskError, DiskFile, IoContext, replace_with};
use crate::jobs::output::beginning;

/// How many bytes are read at a time.
const PART: usize = 1 << 20;

/// Makes `path` have the file's content again, unless it still is that file; true when it was not.
///
/// # Errors
/// The system's error; it can be called again.
pub(super) fn put_back(disk: &Disk, file: &DiskFile, path: &Path) -> Result<bool, DiskError> {
    let ours = file.metadata()?;
    let named = match path.symlink_metadata() {
        Ok(named) => Some(named),
        // The file or its folder is absent; if it is the folder, creating the file fails and reports that.
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
        Err(e) => return Err(e).context("look at", path),
    };
    let is_there = named.as_ref().is_some_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino()));
    // Where nothing was printed and nothing has the name, there is nothing to put back.
    if is_there || (ours.len() == 0 && named.is_none()) {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        disk.ensure_dir(folder)?;
    }
    if named.is_some() {
        put_aside(disk, path)?;
    }
    replace_with(disk, path, |out| {
        let mut at = beginning(file.as_file())?;
        let mut bytes = vec![0; PART];
        loop {
            let read = file.as_file().read_at(&mut bytes, at)?;
            if read == 0 {
                return Ok(());
            }
            out.write_all(&bytes[..read])?;
            at += read as u64;
        }
    })?;
    Ok(true)
}

/// Gives the job's file another name: `output.log.1`, or the next free one.
fn put_aside(disk: &Disk, path: &Path) -> Result<(), DiskError> {
    let mut number = 1;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        match disk.rename(path, &PathBuf::from(name), false) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;

    #[test]
    fn put_back_removed_renamed_or_replaced_output() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, path) = (Disk::real(), folder.path().join("workspace/output.log"));
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let file = disk.open_or_create(&path).unwrap();
        assert!(!put_back(&disk, &file, &path).unwrap());
        file.write_at(b"printed", 0).unwrap();
        assert!(!put_back(&disk, &file, &path).unwrap(), "it is there");
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        assert!(put_back(&disk, &file, &path).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"printed");
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "secret").unwrap();
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&secret, &path).unwrap();
        assert!(put_back(&disk, &file, &path).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"printed");
        assert_eq!(std::fs::read(&secret).unwrap(), b"secret");
        assert_eq!(std::fs::read_link(path.with_extension("log.1")).unwrap(), secret);
    }

    #[test]
    fn put_back_empty_output() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, path) = (Disk::real(), folder.path().join("output.log"));
        let file = disk.open_or_create(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!put_back(&disk, &file, &path).unwrap(), "nothing was printed, and nothing is there");
        std::fs::write(&path, "the job's own").unwrap();
        assert!(put_back(&disk, &file, &path).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        assert_eq!(std::fs::read(path.with_extension("log.1")).unwrap(), b"the job's own");
    }
}
