//! The uses by processes: working and root directories, programs, memory, descriptors, sockets, mounts.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::answer::How;
use super::hidden;
use super::kept;
use super::mounts::{Location, MountTable, Seen, device_of, look};
use super::overlays::Overlays;
use super::picture::{By, Entered, Picture, Reference, Roots};
use super::sockets::Sockets;
use crate::jobs::serves_a_job;
use crate::system::{look_after_exec, pids};

/// The kernel's suffix for the name of a removed file.
const REMOVED: &[u8] = b" (deleted)";

/// Standard input, output and error.
const STREAMS: [&str; 3] = ["fd/0", "fd/1", "fd/2"];

/// Why a process shows nothing.
enum Silent {
    /// It has ended.
    Gone,
    /// It may not be examined.
    Hidden,
    /// This process lacks a means to examine it; the reason.
    Blind(String),
}

impl From<io::Error> for Silent {
    fn from(error: io::Error) -> Silent {
        match Errno::from_io_error(&error) {
            Some(Errno::ACCESS | Errno::PERM) => Silent::Hidden,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => {
                Silent::Blind(format!("the processes of this machine cannot be looked at: {error}"))
            }
            // (INVAL: the mounts of one that has just ended.)
            Some(Errno::NOENT | Errno::SRCH | Errno::INVAL) => Silent::Gone,
            _ => Silent::Hidden,
        }
    }
}

impl From<Errno> for Silent {
    fn from(error: Errno) -> Silent {
        io::Error::from(error).into()
    }
}

/// Examines every process but this one, and returns their root directories.
pub(super) fn gather(picture: &mut Picture) -> Roots {
    let pids = pids().unwrap_or_else(|e| {
        picture.blind = Some(format!("the processes of this machine cannot be listed: {e}"));
        Vec::new()
    });
    picture.unknown.extend(hidden::why_unlisted());
    let own = std::process::id();
    let mut gathering = Gathering::new(picture);
    let mut hidden = Vec::new();
    for &pid in pids.iter().filter(|&&pid| pid != own) {
        // A process that ends, or becomes another program, seems to hide itself for a moment.
        let is_hidden = |told: &Result<(), Silent>| matches!(told, Err(Silent::Hidden));
        match look_after_exec(pid, || gathering.process(pid), is_hidden) {
            Ok(()) | Err(Silent::Gone) => {}
            Err(Silent::Hidden) => {
                hidden.push(pid);
                gathering.mounts_of_hidden(pid);
            }
            Err(Silent::Blind(why)) => gathering.picture.blind = Some(why),
        }
    }
    // This process's own table: this process is not among those that were examined.
    let own_mounts = MountTable::of(Path::new("/proc/self")).ok();
    if let Some(own) = &own_mounts {
        gathering.mounts_of_kept_namespaces(own);
    }
    let sockets = std::mem::take(&mut gathering.sockets);
    let (overlays, mut roots) =
        (std::mem::take(&mut gathering.overlays), std::mem::take(&mut gathering.roots));
    if let Some(own) = own_mounts {
        roots.push(("/proc/self".into(), Rc::new(own)));
    }
    sockets.place_in(gathering.picture);
    overlays.place_in(gathering.picture, &roots);
    picture.hidden = hidden::possible_users(&hidden, &pids);
    roots
}

/// Mount tables, by the namespace and root directory for which they were read.
type Tables = HashMap<(PathBuf, u64, u64), Rc<MountTable>>;

struct Gathering<'a> {
    picture: &'a mut Picture,
    tables: Tables,
    /// Tables of processes that hide their namespace.
    texts: HashSet<Vec<u8>>,
    /// Uses proven to be elsewhere, by their name in a table.
    elsewhere: HashSet<(usize, u64, u64, PathBuf)>,
    sockets: Sockets,
    overlays: Overlays,
    roots: Roots,
    /// This program's file.
    program: Option<(u64, u64)>,
}

impl<'a> Gathering<'a> {
    fn new(picture: &'a mut Picture) -> Gathering<'a> {
        let program = look(Path::new("/proc/self/exe"), AtFlags::empty()).ok();
        Gathering {
            picture,
            tables: HashMap::new(),
            texts: HashSet::new(),
            elsewhere: HashSet::new(),
            sockets: Sockets::default(),
            overlays: Overlays::default(),
            roots: Roots::new(),
            program: program.map(|seen| (seen.device, seen.inode)),
        }
    }

    fn process(&mut self, pid: u32) -> Result<(), Silent> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let stat = hidden::stat(pid)?;
        if stat.is_kernel {
            return Ok(());
        }
        let mut done = self.leader(pid, &folder);
        if stat.threads <= 1 || matches!(done, Err(Silent::Hidden | Silent::Blind(_))) {
            return done;
        }
        let first = pid.to_string();
        for thread in std::fs::read_dir(folder.join("task"))? {
            let thread = thread?;
            if thread.file_name() == first.as_str() {
                continue;
            }
            let told = match done {
                // The process's first thread has ended; its other threads show its uses.
                Err(Silent::Gone) => {
                    done = self.leader(pid, &thread.path());
                    continue;
                }
                _ => self.thread(pid, &thread.path()),
            };
            if let Err(Silent::Blind(why)) = told {
                return Err(Silent::Blind(why));
            }
        }
        done
    }

    /// Notes all uses of a process that its first thread's folder shows.
    fn leader(&mut self, pid: u32, folder: &Path) -> Result<(), Silent> {
        let table = self.thread(pid, folder)?;
        let program = look(&folder.join("exe"), AtFlags::empty()).ok();
        let is_ours = program.is_some_and(|p| self.program == Some((p.device, p.inode)));
        self.link(pid, folder, &table, "exe", How::Program)?;
        self.sockets.of_process(folder);
        // Of a process that runs this very file only inherited files count, because another program may need
        // them. Files that it opened itself it only reads, or holds by a lock that every remover of the folder
        // takes first. (A copy of the program, or an earlier version of it, is treated like any other program.)
        if is_ours {
            // The streams of a process that a server started are a job's output or the server's own log.
            for stream in STREAMS.iter().filter(|_| !serves_a_job(pid)) {
                self.link(pid, folder, &table, stream, How::Open)?;
            }
            return Ok(());
        }
        for entry in std::fs::read_dir(folder.join("fd"))? {
            let name = Path::new("fd").join(entry?.file_name());
            self.link(pid, folder, &table, name, How::Open)?;
        }
        self.memory(pid, folder, &table)
    }

    /// Notes working and root directory, which each thread can have of its own, and the thread's mounts.
    fn thread(&mut self, pid: u32, folder: &Path) -> Result<Rc<MountTable>, Silent> {
        let root = look(&folder.join("root"), AtFlags::empty())?;
        let namespace = std::fs::read_link(folder.join("ns/mnt"))?;
        let key = (namespace, root.device, root.inode);
        let table = match self.tables.get(&key) {
            Some(table) => table.clone(),
            None => {
                let table = Rc::new(MountTable::of(folder)?);
                self.mounts(pid, folder, &table, true);
                self.roots.push((folder.to_owned(), table.clone()));
                self.tables.insert(key, table.clone());
                table
            }
        };
        self.link(pid, folder, &table, "cwd", How::WorkingDirectory)?;
        self.link(pid, folder, &table, "root", How::Root)?;
        Ok(table)
    }

    fn link(
        &mut self,
        pid: u32,
        folder: &Path,
        table: &Rc<MountTable>,
        link: impl AsRef<Path>,
        how: How,
    ) -> Result<(), Silent> {
        let link = folder.join(link);
        let name = match std::fs::read_link(&link) {
            Ok(name) => Some(name),
            Err(e) if Errno::from_io_error(&e) == Some(Errno::NAMETOOLONG) => None,
            // It was closed in the meantime, or the process is a thread of the kernel.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        if let Some(name) = &name {
            if !name.is_absolute() {
                self.sockets.of(pid, name);
                return Ok(());
            }
            if table.is_remote(name).is_some_and(|device| self.picture.areas.exclude(device)) {
                return Ok(());
            }
        }
        match look(&link, AtFlags::empty()) {
            Ok(seen) => self.found(pid, folder, table, &seen, name, how),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => self.unanswered(pid, name.unwrap_or_default(), how, e)?,
        }
        Ok(())
    }

    /// Notes a file on a file system that does not answer: by its name alone it may be in the state directory.
    fn unanswered(&mut self, pid: u32, name: PathBuf, how: How, error: io::Error) -> Result<(), Silent> {
        if let blind @ Silent::Blind(_) = error.into() {
            return Err(blind);
        }
        if self.picture.areas.have_named(&name) {
            let reference = Reference { by: By::Process(pid), how, name: name.clone() };
            self.picture.named.push((name, reference));
        }
        Ok(())
    }

    fn found(
        &mut self,
        pid: u32,
        folder: &Path,
        table: &Rc<MountTable>,
        seen: &Seen,
        name: Option<PathBuf>,
        how: How,
    ) {
        let mount = seen.mount.and_then(|id| table.get(id));
        if seen.links == 0 || mount.is_some_and(|mount| self.picture.areas.exclude(mount.device)) {
            return;
        }
        if mount.is_none() && seen.is_data {
            self.overlays.stray(pid, seen, name.as_deref().unwrap_or(Path::new("")));
        }
        let name = name.unwrap_or_default();
        let key = (Rc::as_ptr(table) as usize, seen.device, seen.inode, name.clone());
        if self.elsewhere.contains(&key) {
            return;
        }
        let reference = Reference { by: By::Process(pid), how, name: name.clone() };
        let place = self.picture.locate(folder, table, seen, &name);
        if self.picture.enter(place, seen, reference) == Entered::Elsewhere {
            self.elsewhere.insert(key);
        }
    }

    /// `7f0c-7f0d r-xp 00000000 fd:01 123 /usr/lib/libc.so`
    fn memory(&mut self, pid: u32, folder: &Path, table: &Rc<MountTable>) -> Result<(), Silent> {
        let text = crate::durable::plain::read(folder.join("maps"))?;
        let mut last = None;
        for line in text.split(|&b| b == b'\n') {
            let Some(mapped) = Mapped::parse(line) else { continue };
            // A program and a library are several lines.
            let key = (mapped.device, mapped.inode);
            // Older kernels show the file system below an overlay.
            let name = Path::new(OsStr::from_bytes(mapped.name));
            let is_elsewhere =
                self.picture.areas.exclude(mapped.device) && !self.picture.areas.have_named(name);
            if is_elsewhere || last.replace(key) == Some(key) {
                continue;
            }
            self.mapped(pid, folder, table, &mapped);
        }
        Ok(())
    }

    fn mapped(&mut self, pid: u32, folder: &Path, table: &Rc<MountTable>, mapped: &Mapped<'_>) {
        let name = PathBuf::from(OsStr::from_bytes(mapped.name));
        let key = (Rc::as_ptr(table) as usize, mapped.device, mapped.inode, name.clone());
        if self.elsewhere.contains(&key) {
            return;
        }
        // Examine the mapped file itself, where this user may follow the link; otherwise use its name.
        let link = folder.join("map_files").join(&mapped.range);
        let seen = look(&link, AtFlags::empty()).ok();
        let seen = seen.or_else(|| {
            let below = name.strip_prefix("/").ok()?;
            let there = look(&folder.join("root").join(below), AtFlags::SYMLINK_NOFOLLOW).ok()?;
            (there.inode == mapped.inode).then_some(there)
        });
        let Some(seen) = seen else {
            let reference = Reference { by: By::Process(pid), how: How::Mapped, name };
            self.picture.inodes.entry(mapped.inode).or_insert((mapped.device, reference));
            return;
        };
        self.found(pid, folder, table, &seen, Some(name), How::Mapped);
        // Some file systems have two numbers for one device.
        if self.elsewhere.contains(&(key.0, seen.device, seen.inode, key.3.clone())) {
            self.elsewhere.insert(key);
        }
    }

    /// Mounts in, or of, the areas.
    fn mounts(&mut self, pid: u32, folder: &Path, table: &MountTable, is_open: bool) {
        table.mounts.iter().for_each(|mount| self.overlays.note(pid, folder, mount, is_open));
        self.mounted(&By::Process(pid), table);
    }

    fn mounted(&mut self, by: &By, table: &MountTable) {
        for mount in &table.mounts {
            let reference = |how| Reference { by: by.clone(), how, name: mount.point.clone() };
            let mut note = |place: Option<Location>, how| {
                if let Some(place) = place.filter(|place| self.picture.areas.have(place)) {
                    self.picture.place(place, reference(how));
                }
            };
            note(table.place_of(mount), How::MountPoint);
            note(Some(mount.shows()), How::Mounted);
            for name in mount.names().filter(|name| self.picture.areas.have_named(name)) {
                self.picture.named.push((name, reference(How::Mounted)));
            }
        }
    }

    /// The mounts in namespaces that files keep, and no process is in.
    fn mounts_of_kept_namespaces(&mut self, own: &MountTable) {
        let kept = own.mounts.iter().filter_map(|mount| Some((mount.keeps_namespace()?, &mount.point)));
        for (namespace, file) in kept {
            if self.tables.keys().any(|(seen, ..)| seen == namespace) {
                continue;
            }
            match kept::mounts_of(file) {
                Ok(text) => {
                    let by = By::Kernel(format!("the mount namespace that {} keeps", file.display()));
                    self.mounted(&by, &MountTable::parse(&text));
                }
                // Only root can examine them. Many machines always have some, so another user does not note that.
                Err(_) if !rustix::process::geteuid().is_root() => {}
                Err(e) => {
                    let why =
                        format!("the mount namespace that {} keeps cannot be looked at: {e}", file.display());
                    self.picture.unknown.push(why);
                }
            }
        }
    }

    /// Notes the mounts of a process that hides everything else.
    fn mounts_of_hidden(&mut self, pid: u32) {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let Ok(text) = crate::durable::plain::read(folder.join("mountinfo")) else { return };
        if !self.texts.contains(&text) {
            self.mounts(pid, &folder, &MountTable::parse(&text), false);
            self.texts.insert(text);
        }
    }
}

/// A line of a process's memory that has a file.
#[derive(Debug, PartialEq, Eq)]
struct Mapped<'a> {
    /// As the kernel names it in `map_files`.
    range: String,
    device: u64,
    inode: u64,
    name: &'a [u8],
}

impl Mapped<'_> {
    fn parse(line: &[u8]) -> Option<Mapped<'_>> {
        let mut fields = line.splitn(6, |&b| b == b' ');
        let range = range(std::str::from_utf8(fields.next()?).ok()?)?;
        let (device, inode) = (fields.nth(2)?, fields.next()?);
        let device = device_of(std::str::from_utf8(device).ok()?, 16)?;
        let inode = std::str::from_utf8(inode).ok()?.parse().ok().filter(|&inode| inode != 0)?;
        let name = fields.next()?.trim_ascii_start();
        let name = name.strip_suffix(REMOVED).unwrap_or(name);
        Some(Mapped { range, device, inode, name })
    }
}

/// The range without the leading zeros that `maps` has.
fn range(text: &str) -> Option<String> {
    let (from, to) = text.split_once('-')?;
    Some(format!("{}-{}", from.trim_start_matches('0'), to.trim_start_matches('0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_use::mounts::device;

    #[test]
    fn maps_line_is_parsed() {
        let line = b"00400000-00401000 r-xp 00001000 fd:0a 123    /a b/c.so (deleted)";
        let mapped = Mapped::parse(line).unwrap();
        let whole = Mapped {
            range: "400000-401000".to_owned(),
            device: device(0xfd, 0x0a),
            inode: 123,
            name: b"/a b/c.so",
        };
        assert_eq!(mapped, whole);
        assert_eq!(Mapped::parse(b"7ffd-7ffe rw-p 00000000 00:00 0    [stack]"), None);
        assert_eq!(Mapped::parse(b"7ffd-7ffe rw-p 00000000 00:00 0"), None);
    }
}
