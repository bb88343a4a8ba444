//! Bound sockets: each has a name in a folder, which others connect to.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::AtFlags;

use super::answer::How;
use super::mounts::{MountTable, look};
use super::picture::{By, Picture, Reference};

/// The sockets that processes have, and where their names are listed.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    /// Who has a socket, by the socket's number.
    owners: HashMap<u64, u32>,
    /// A process's folder for each network namespace.
    namespaces: HashMap<PathBuf, PathBuf>,
}

impl Sockets {
    /// A descriptor of a process whose name in `/proc` is no path: `socket:[123]` is a socket.
    pub(super) fn of(&mut self, pid: u32, name: &Path) {
        let number = name.to_str().and_then(|n| n.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        if let Some(number) = number {
            self.owners.insert(number, pid);
        }
    }

    /// The network namespace of the process that has this folder in `/proc`.
    pub(super) fn of_process(&mut self, folder: &Path) {
        if let Ok(namespace) = std::fs::read_link(folder.join("ns/net")) {
            self.namespaces.entry(namespace).or_insert_with(|| folder.to_owned());
        }
    }

    /// Notes every bound socket that has its name in one of the areas, or may have.
    pub(super) fn place_in(self, picture: &mut Picture) {
        let mut folders: Vec<&Path> = self.namespaces.values().map(PathBuf::as_path).collect();
        folders.push(Path::new("/proc/self"));
        for folder in folders {
            let text = std::fs::read(folder.join("net/unix")).unwrap_or_default();
            for (number, name) in text.split(|&b| b == b'\n').filter_map(bound) {
                self.note(picture, number, name);
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
            // Its process went elsewhere since it gave it that name.
            if let (false, Some(last)) = (name.is_absolute(), name.file_name()) {
                picture.sockets.insert(last.to_owned(), reference);
            }
            return;
        };
        let theirs = seen.mount.filter(|&id| picture.own.get(id).is_none());
        let theirs = theirs.and_then(|_| MountTable::of(&folder).ok());
        let table = theirs.as_ref().unwrap_or(&picture.own);
        match picture.locate(&folder, table, &seen, &full) {
            Some(place) if picture.areas.have(&place) => picture.place(place, reference),
            Some(_) if picture.areas.are_all_placed() => {}
            _ => drop(picture.unplaced.entry((seen.device, seen.inode)).or_insert(reference)),
        }
    }
}

/// `0000000000000000: 00000002 00000000 00010000 0001 01 123 /run/x`: number and name of a socket that has a
/// name in a folder.
fn bound(line: &[u8]) -> Option<(u64, &Path)> {
    let mut rest = line;
    let mut number = None;
    for field in 0..7 {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|&b| b == b' ')?;
        if field == 6 {
            number = std::str::from_utf8(&rest[..end]).ok()?.parse().ok();
        }
        rest = &rest[end..];
    }
    let name = rest.strip_prefix(b" ").filter(|name| !name.is_empty() && !name.starts_with(b"@"))?;
    Some((number?, Path::new(std::ffi::OsStr::from_bytes(name))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_socket_has_a_number_and_a_path() {
        let line = b"0000000000000000: 00000002 00000000 00010000 0001 01    123 /run/a b";
        assert_eq!(bound(line), Some((123, Path::new("/run/a b"))));
        let unbound = b"0000000000000000: 00000002 00000000 00010000 0001 01 123";
        assert_eq!(bound(unbound), None);
        let abstract_name = b"0000000000000000: 00000002 00000000 00010000 0001 01 123 @x";
        assert_eq!(bound(abstract_name), None);
        assert_eq!(bound(b"Num       RefCount Protocol Flags    Type St Inode Path"), None);
    }
}
