//! Bound sockets: each has a name in a folder, by which other processes connect.
//!
//! The kernel gives only the name by which a socket was bound. When that name leads nowhere by now, because the
//! file was renamed, a link or descriptor in the path is gone, or its process moved, any socket file may be its
//! file. Then a socket file in a folder protects the folder, unless the bound name's folder is on another file
//! system, whose entries cannot have been renamed into this one. A line feed in a name splits it, and the same
//! rule applies.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::AtFlags;

use super::answer::How;
use super::hidden::is_gone;
use super::mounts::{MountTable, look};
use super::picture::{By, Picture, Reference};

/// The sockets that processes have, and where their names are listed.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    /// The owner of a socket, by the socket's number.
    owners: HashMap<u64, u32>,
    /// Folders in `/proc` of several processes for each network namespace: one of them may have ended by the time
    /// it is read.
    namespaces: HashMap<PathBuf, Vec<PathBuf>>,
}

impl Sockets {
    /// Notes a descriptor whose name in `/proc` is no path: `socket:[123]` is a socket.
    pub(super) fn of(&mut self, pid: u32, name: &Path) {
        let number = name.to_str().and_then(|n| n.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        if let Some(number) = number {
            self.owners.insert(number, pid);
        }
    }

    /// The network namespace of the process that has this folder in `/proc`.
    pub(super) fn of_process(&mut self, folder: &Path) {
        if let Ok(namespace) = std::fs::read_link(folder.join("ns/net")) {
            self.namespaces.entry(namespace).or_default().push(folder.to_owned());
        }
    }

    /// Notes every bound socket that has its name in one of the areas, or may have.
    pub(super) fn place_in(self, picture: &mut Picture) {
        let own = [PathBuf::from("/proc/self")];
        for folders in self.namespaces.values().map(Vec::as_slice).chain([&own[..]]) {
            let mut text = Vec::new();
            for list in folders.iter().map(|folder| folder.join("net/unix")) {
                match crate::durable::plain::read(&list) {
                    Ok(read) => {
                        text = read;
                        break;
                    }
                    // The process has ended (INVAL: only just), or the kernel has no such sockets.
                    Err(e) if is_gone(&e) || e.kind() == std::io::ErrorKind::InvalidInput => {}
                    Err(e) => picture.cannot_read(&list, &e),
                }
            }
            for line in text.split(|&b| b == b'\n').skip(1).filter(|line| !line.is_empty()) {
                match Line::of(line) {
                    Line::Bound(number, name) => self.note(picture, number, name),
                    Line::Unbound => {}
                    Line::Torn => {
                        let by = By::Kernel("a process that is not known".to_owned());
                        let reference = Reference { by, how: How::LostSocket, name: PathBuf::new() };
                        picture.lost_socket.get_or_insert(reference);
                    }
                }
            }
        }
    }

    fn note(&self, picture: &mut Picture, number: u64, name: &Path) {
        let owner = self.owners.get(&number).copied();
        let folder = owner.map_or_else(|| "/proc/self".into(), |pid| PathBuf::from(format!("/proc/{pid}")));
        let by = owner.map_or_else(|| By::Kernel("a process that is not seen".to_owned()), By::Process);
        let place = if name.is_absolute() { "root" } else { "cwd" };
        let full = match (name.is_absolute(), std::fs::read_link(folder.join("cwd"))) {
            (true, _) => name.to_owned(),
            (false, Ok(cwd)) => cwd.join(name),
            (false, Err(_)) => PathBuf::new(),
        };
        let below = name.strip_prefix("/").unwrap_or(name);
        let seen = look(&folder.join(place).join(below), AtFlags::SYMLINK_NOFOLLOW).ok();
        let reference = Reference { by, how: How::Socket, name: full.clone() };
        let Some(seen) = seen.filter(|seen| seen.is_socket && seen.links > 0) else {
            let above = below.parent().filter(|_| name.is_absolute() && !name.starts_with("/proc"));
            let above = above.and_then(|above| look(&folder.join(place).join(above), AtFlags::empty()).ok());
            if above.is_some_and(|above| picture.is_elsewhere(&folder, &above)) {
                return;
            }
            if let Some(last) = name.file_name() {
                picture.sockets.insert(last.to_owned(), reference.clone());
            }
            picture.lost_socket.get_or_insert(Reference { how: How::LostSocket, ..reference });
            return;
        };
        let theirs = seen.mount.filter(|&id| picture.own.get(id).is_none());
        let theirs = theirs.and_then(|_| MountTable::of(&folder).ok());
        let table = theirs.as_ref().unwrap_or(&picture.own);
        let place = picture.locate(&folder, table, &seen, &full);
        picture.enter(place, &seen, reference);
    }
}

/// `0000000000000000: 00000002 00000000 00010000 0001 01 123 /run/x`
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    /// Number and name of a socket that has a name in a folder.
    Bound(u64, &'a Path),
    /// A socket without one.
    Unbound,
    /// A part of a name.
    Torn,
}

impl Line<'_> {
    fn of(line: &[u8]) -> Line<'_> {
        Line::parse(line).unwrap_or(Line::Torn)
    }

    fn parse(line: &[u8]) -> Option<Line<'_>> {
        let mut rest = line;
        let mut number = 0;
        for field in 0..7 {
            rest = rest.trim_ascii_start();
            let end = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
            let text = std::str::from_utf8(&rest[..end]).ok()?;
            match field {
                0 => drop(text.strip_suffix(':')?),
                6 => number = text.parse().ok()?,
                _ => drop(u64::from_str_radix(text, 16).ok()?),
            }
            rest = &rest[end..];
        }
        let name = rest.strip_prefix(b" ").filter(|name| !name.is_empty() && !name.starts_with(b"@"));
        Some(
            name.map_or(Line::Unbound, |name| {
                Line::Bound(number, Path::new(std::ffi::OsStr::from_bytes(name)))
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_line_is_parsed() {
        let head = "0000000000000000: 00000002 00000000 00010000 0001 01";
        for (rest, is) in [
            ("    123 /run/a b", Line::Bound(123, Path::new("/run/a b"))),
            (" 123", Line::Unbound),
            (" 123 @x", Line::Unbound),
        ] {
            assert_eq!(Line::of(format!("{head}{rest}").as_bytes()), is, "{rest}");
        }
        for torn in ["b/s", "/a b c d e f g h", "Num       RefCount Protocol Flags    Type St Inode Path"] {
            assert_eq!(Line::of(torn.as_bytes()), Line::Torn, "{torn}");
        }
    }
}
