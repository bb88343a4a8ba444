//! A rename that replaces nothing, even where the system has no such call: see [`super::Disk::rename`].

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, RenameFlags, Stat, linkat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;
use rustix::path::Arg;

/// The errors by which an old kernel, a file system or a system call filter says that a call, or this use of it,
/// does not exist. If the error meant something else, the fallback fails with the real reason.
pub(crate) const MISSING: [Errno; 4] = [Errno::NOSYS, Errno::INVAL, Errno::OPNOTSUPP, Errno::PERM];

/// Renames without replacing; each name is relative to an open folder.
pub(super) fn rename<F: Arg + Copy, T: Arg + Copy>(
    (from_folder, from): (BorrowedFd<'_>, F),
    (to_folder, to): (BorrowedFd<'_>, T),
) -> io::Result<()> {
    match renameat_with(from_folder, from, to_folder, to, RenameFlags::NOREPLACE) {
        Err(e) if MISSING.contains(&e) => Ok(in_another_way((from_folder, from), (to_folder, to))?),
        other => Ok(other?),
    }
}

fn in_another_way<F: Arg + Copy, T: Arg + Copy>(
    (from_folder, from): (BorrowedFd<'_>, F),
    (to_folder, to): (BorrowedFd<'_>, T),
) -> Result<(), Errno> {
    let moving = statat(from_folder, from, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(moving.st_mode) == FileType::Directory {
        return match statat(to_folder, to, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Errno::EXIST),
            Err(Errno::NOENT) => match renameat(from_folder, from, to_folder, to) {
                Err(Errno::NOTEMPTY | Errno::NOTDIR) => Err(Errno::EXIST),
                other => other,
            },
            Err(e) => Err(e),
        };
    }
    match linkat(from_folder, from, to_folder, to, AtFlags::empty()) {
        Ok(()) => {}
        Err(Errno::EXIST) if has_second_name(&moving, to_folder, to) => {}
        Err(e) => return Err(e),
    }
    match unlinkat(from_folder, from, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => {
            // The old name could not be removed: keep that one, and take the new one back.
            let _ = unlinkat(to_folder, to, AtFlags::empty());
            Err(e)
        }
    }
}

/// Whether the file already has the new name: a process gave it that name and was killed before it removed the
/// old one.
fn has_second_name(moving: &Stat, to_folder: BorrowedFd<'_>, to: impl Arg) -> bool {
    statat(to_folder, to, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|there| (there.st_dev, there.st_ino) == (moving.st_dev, moving.st_ino))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use std::fs;
    use std::path::Path;

    use rustix::fs::CWD;

    use super::*;

    fn moved(from: &Path, to: &Path) -> Result<(), Errno> {
        in_another_way((CWD, from), (CWD, to))
    }

    #[test]
    fn rename_without_renameat2() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&a, "a").unwrap();
        moved(&a, &b).unwrap();
        assert!(!a.exists() && fs::read_to_string(&b).unwrap() == "a");
        fs::write(&a, "other").unwrap();
        assert_eq!(moved(&a, &b), Err(Errno::EXIST));
        assert_eq!(
            (fs::read_to_string(&a).unwrap(), fs::read_to_string(&b).unwrap()),
            ("other".into(), "a".into())
        );
        assert_eq!(moved(&folder.path().join("missing"), &a), Err(Errno::NOENT));
    }

    #[test]
    fn rename_completes_after_kill_between_names() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&a, "a").unwrap();
        fs::hard_link(&a, &b).unwrap();
        moved(&a, &b).unwrap();
        assert!(!a.exists() && fs::read_to_string(&b).unwrap() == "a");
    }

    #[test]
    fn rename_folder_onto_existing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        fs::create_dir(&a).unwrap();
        fs::write(a.join("file"), "").unwrap();
        for take in [|p: &Path| fs::create_dir(p), |p: &Path| fs::write(p, "")] {
            take(&b).unwrap();
            assert_eq!(moved(&a, &b), Err(Errno::EXIST));
            assert!(a.join("file").exists());
            let _ = fs::remove_dir(&b).or_else(|_| fs::remove_file(&b));
        }
        moved(&a, &b).unwrap();
        assert!(!a.exists() && b.join("file").exists());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        moved(&link, &a).unwrap();
        assert_eq!(fs::read_link(&a).unwrap(), Path::new("nowhere"));
    }
}
