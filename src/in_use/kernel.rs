//! Uses by the kernel itself, without a process: loop devices, swap files, and locks of hidden processes.
//!
//! For a loop device the kernel gives the name of its file as seen from the mount by which it was opened. Where
//! that name leads nowhere in the root directory of any process (the mount is gone), any file with the same last
//! name protects its folder.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::answer::How;
use super::hidden::is_gone;
use super::mounts::{device_of, look};
use super::picture::{By, Picture, Reference, Roots};

pub(super) fn gather(picture: &mut Picture, roots: &Roots) {
    for (name, file) in loop_devices(picture) {
        note(picture, roots, format!("loop device {name}"), file);
    }
    for file in swap_files(picture) {
        note(picture, roots, "swap space".to_owned(), file);
    }
    let text = text(picture, Path::new("/proc/locks"));
    locks(picture, &String::from_utf8_lossy(&text));
}

/// The content of a file; empty when there is no such file. A file that cannot be read is noted.
fn text(picture: &mut Picture, path: &Path) -> Vec<u8> {
    match crate::durable::plain::read(path) {
        Ok(text) => text,
        Err(e) => {
            // A loop device without a file has no such entry.
            if !is_gone(&e) && Errno::from_io_error(&e) != Some(Errno::NXIO) {
                picture.cannot_read(path, &e);
            }
            Vec::new()
        }
    }
}

fn note(picture: &mut Picture, roots: &Roots, by: String, file: PathBuf) {
    if picture.own.is_remote(&file).is_some_and(|device| picture.areas.exclude(device)) {
        return;
    }
    let reference = Reference { by: By::Kernel(by), how: How::Backing, name: file.clone() };
    let found = |root: &Path| {
        let name = root.join(file.strip_prefix("/").unwrap_or(&file));
        look(&name, AtFlags::SYMLINK_NOFOLLOW).ok().filter(|seen| seen.links > 0)
    };
    let own = found(Path::new("/")).map(|seen| (seen, picture.own.locate(&seen, &file)));
    let theirs = || {
        roots.iter().filter(|(_, table)| table.is_remote(&file).is_none()).find_map(|(folder, table)| {
            let seen = found(&folder.join("root"))?;
            Some((seen, table.locate(&seen, &file)))
        })
    };
    match own.or_else(theirs) {
        Some((seen, place)) => drop(picture.enter(place, &seen, reference)),
        None if picture.areas.have_named(&file) => picture.named.push((file, reference)),
        None => {
            if let Some(last) = file.file_name() {
                picture.backing.insert(last.to_owned(), reference);
            }
        }
    }
}

fn loop_devices(picture: &mut Picture) -> Vec<(String, PathBuf)> {
    let all = Path::new("/sys/block");
    let names = || -> std::io::Result<Vec<String>> {
        let names =
            std::fs::read_dir(all)?.map(|device| Ok(device?.file_name().to_string_lossy().into_owned()));
        names.collect()
    };
    let names = match names() {
        Ok(names) => names,
        Err(e) => {
            if !is_gone(&e) {
                picture.cannot_read(all, &e);
            }
            Vec::new()
        }
    };
    let mut devices = Vec::new();
    for name in names.into_iter().filter(|name| name.starts_with("loop")) {
        let file = text(picture, &all.join(&name).join("loop/backing_file"));
        if !file.is_empty() {
            devices.push((name, std::ffi::OsStr::from_bytes(file.trim_ascii_end()).into()));
        }
    }
    devices
}

fn swap_files(picture: &mut Picture) -> Vec<PathBuf> {
    let text = text(picture, Path::new("/proc/swaps"));
    let lines = text.split(|byte| *byte == b'\n').skip(1);
    let files = lines.filter_map(|line| line.split(u8::is_ascii_whitespace).find(|field| !field.is_empty()));
    let files = files.map(|file| PathBuf::from(std::ffi::OsStr::from_bytes(file)));
    files.filter(|file| !file.starts_with("/dev")).collect()
}

/// Reads lines such as `1: FLOCK  ADVISORY  WRITE 412 fd:01:123 0 EOF`, but only for processes whose descriptors
/// could not be examined. PID 0 is a process of another PID namespace.
fn locks(picture: &mut Picture, text: &str) {
    let hidden: HashSet<u32> = picture.hidden.iter().map(|h| h.pid).collect();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().filter(|f| *f != "->").collect();
        let (Some(pid), Some(file)) = (fields.get(4).and_then(|p| p.parse::<u32>().ok()), fields.get(5))
        else {
            continue;
        };
        let Some((device, inode)) = file.rsplit_once(':') else { continue };
        let (Some(device), Ok(inode)) = (device_of(device, 16), inode.parse()) else { continue };
        if (pid != 0 && !hidden.contains(&pid)) || picture.areas.exclude(device) {
            continue;
        }
        let by = match pid {
            0 => By::Kernel("a process of another PID namespace".to_owned()),
            pid => By::Process(pid),
        };
        let reference = Reference { by, how: How::Locked, name: Path::new("").to_owned() };
        picture.inodes.entry(inode).or_insert((device, reference));
    }
}
