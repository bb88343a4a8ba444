//! The objects that a repository has itself, not those that it borrows: read from the names of its files and
//! the indexes of its packs, one at a time.

use std::ffi::{CStr, CString, OsStr};
use std::io::{BufReader, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, fstat, statat};
use rustix::io::Errno;

use super::tips::{Id, id_of};
use crate::durable::tree::{Go, Unread, Visitor, open_file, shown, walk};

/// Repositories with more objects than this are not asked about: a pack that has a thousand names counts a
/// thousand times.
const MOST_OBJECTS: u64 = 100_000_000;
/// How much smaller, in bytes, an index file may be on disk than its nominal size: object names cannot be
/// compressed, so only a file system's own data makes a difference.
const BESIDE: u64 = 1 << 20;
/// The length of an object's name, in bytes.
const NAME: u64 = 20;

/// Calls back for every object in a folder of objects; the same object may come more than once.
pub(super) fn each_own(
    objects: BorrowedFd<'_>,
    each: &mut dyn FnMut(Id) -> Result<(), String>,
) -> Result<(), String> {
    let mut visit = Own { each, told: 0, error: None };
    let walked = walk(objects, &mut visit);
    match (visit.error, walked) {
        (Some(error), _) => Err(error),
        (None, walked) => walked.map_err(|e| format!("its objects: {e}")),
    }
}

/// Returns when a folder of objects was last written to, in seconds since the epoch. The inode's change time
/// counts too: nobody can set it back.
pub(super) fn written_at(objects: BorrowedFd<'_>) -> Result<i64, String> {
    struct Newest(i64);
    impl Visitor for Newest {
        fn folder(&mut self, folder: BorrowedFd<'_>, path: &Path) -> Result<Go, Unread> {
            let found = fstat(folder).map_err(|e| Unread::new(path, e))?;
            self.0 = self.0.max(found.st_mtime).max(found.st_ctime);
            Ok(Go::In)
        }
        fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<(), Unread> {
            match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => self.0 = self.0.max(found.st_mtime).max(found.st_ctime),
                Err(Errno::NOENT) => {}
                Err(e) => return Err(Unread::new(path, e)),
            }
            Ok(())
        }
    }
    let mut newest = Newest(i64::MIN);
    walk(objects, &mut newest).map_err(|e| format!("its objects: {e}"))?;
    Ok(newest.0)
}

struct Own<'a> {
    each: &'a mut dyn FnMut(Id) -> Result<(), String>,
    /// How many objects were reported.
    told: u64,
    error: Option<String>,
}

impl Visitor for Own<'_> {
    fn folder(&mut self, _: BorrowedFd<'_>, path: &Path) -> Result<Go, Unread> {
        // Objects that git has not accepted yet are in a folder of their own: an operation was interrupted.
        let is_known = match path.as_os_str().as_bytes() {
            b"" | b"pack" => true,
            name => name.len() == 2 && name.iter().all(u8::is_ascii_hexdigit),
        };
        Ok(if is_known { Go::In } else { Go::Past })
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<(), Unread> {
        let told = match path.parent().map(|above| above.as_os_str().as_bytes()) {
            Some(b"pack") => self.packed(folder, name),
            Some(above) if above.len() == 2 => {
                id_of(&[above, name.to_bytes()].concat()).map_or(Ok(()), |id| self.tell(id))
            }
            _ => Ok(()),
        };
        told.map_err(|why| {
            self.error = Some(why);
            Unread::new(path, std::io::ErrorKind::Interrupted)
        })
    }
}

impl Own<'_> {
    fn tell(&mut self, id: Id) -> Result<(), String> {
        self.told += 1;
        if self.told > MOST_OBJECTS {
            Err("it has too many objects to be judged".to_owned())
        } else {
            (self.each)(id)
        }
    }

    fn packed(&mut self, folder: BorrowedFd<'_>, name: &CStr) -> Result<(), String> {
        let bytes = name.to_bytes();
        if let Some(stem) = bytes.strip_suffix(b".pack").filter(|stem| stem.starts_with(b"pack-")) {
            let index = CString::new([stem, b".idx"].concat()).unwrap_or_default();
            return match statat(folder, &*index, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Ok(()),
                Err(_) => Err(format!("{} has no index", shown(&at(bytes)))),
            };
        }
        if !bytes.ends_with(b".idx") {
            return Ok(());
        }
        let told = |e: std::io::Error| format!("{}: {e}", shown(&at(bytes)));
        let file = open_file(folder, name).map_err(told)?;
        let room = file.metadata().map_err(told)?.blocks().saturating_mul(512).saturating_add(BESIDE);
        let mut index = BufReader::with_capacity(64 << 10, file);
        let strange = |_| format!("{} cannot be understood", shown(&at(bytes)));
        let mut head = [0; 8];
        index.read_exact(&mut head).map_err(strange)?;
        // The first form has no header; it begins with its numbers of objects, and offsets stand before the
        // names.
        let is_first_form = head[..4] != *b"\xfftOc";
        if !is_first_form && head[4..] != [0, 0, 0, 2] {
            return Err(strange(std::io::ErrorKind::InvalidData.into()));
        }
        let mut counts = [0; 1024];
        let begin = if is_first_form { 8 } else { 0 };
        counts[..begin].copy_from_slice(&head[..begin]);
        index.read_exact(&mut counts[begin..]).map_err(strange)?;
        let total = u32::from_be_bytes([counts[1020], counts[1021], counts[1022], counts[1023]]);
        if u64::from(total) * NAME > room {
            return Err(format!("{} has holes", shown(&at(bytes))));
        }
        for _ in 0..total {
            if is_first_form {
                index.read_exact(&mut [0; 4]).map_err(strange)?;
            }
            let mut id = [0; 20];
            index.read_exact(&mut id).map_err(strange)?;
            self.tell(id)?;
        }
        Ok(())
    }
}

fn at(name: &[u8]) -> PathBuf {
    Path::new("objects/pack").join(OsStr::from_bytes(name))
}
