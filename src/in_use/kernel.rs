//! What the kernel itself uses, without a process: loop devices, swap files, and locks of those who hide.
//!
//! Of a loop device's file the kernel tells the name, as it is from the mount by which it was opened. Where that leads
//! nowhere, in no root directory of any process (the mount is gone), a file of the same last name protects its folder.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::AtFlags;

use super::answer::How;
use super::mounts::{device_of, look};
use super::picture::{By, Picture, Reference, Roots};

pub(super) fn gather(picture: &mut Picture, roots: &Roots) {
    for (name, file) in loop_devices() {
        note(picture, roots, format!("loop device {name}"), file);
    }
    for file in swap_files() {
        note(picture, roots, "swap space".to_owned(), file);
    }
    locks(picture, &std::fs::read_to_string("/proc/locks").unwrap_or_default());
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
        Some((_, Some(place))) if picture.areas.have(&place) => picture.place(place, reference),
        Some((_, Some(_))) => {}
        Some((seen, None)) => drop(picture.unplaced.entry((seen.device, seen.inode)).or_insert(reference)),
        None if picture.areas.have_named(&file) => picture.named.push((file, reference)),
        None => {
            if let Some(last) = file.file_name() {
                picture.backing.insert(last.to_owned(), reference);
            }
        }
    }
}

fn loop_devices() -> impl Iterator<Item = (String, PathBuf)> {
    let devices = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    devices.filter_map(|device| {
        let name = device.file_name().into_string().ok().filter(|name| name.starts_with("loop"))?;
        let file = std::fs::read(device.path().join("loop/backing_file")).ok()?;
        Some((name, std::ffi::OsStr::from_bytes(file.trim_ascii_end()).into()))
    })
}

fn swap_files() -> impl Iterator<Item = PathBuf> {
    let text = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    let files: Vec<PathBuf> =
        text.lines().skip(1).filter_map(|l| l.split_ascii_whitespace().next().map(PathBuf::from)).collect();
    files.into_iter().filter(|file| !file.starts_with("/dev"))
}

/// `1: FLOCK  ADVISORY  WRITE 412 fd:01:123 0 EOF`: only those whose descriptors could not be looked at. PID 0 is a
/// process of another PID namespace.
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
