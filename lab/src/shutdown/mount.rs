//! A file system of its own in a file, mounted where only the thread that made it and its children see it:
//! the kernel removes it with them, however they end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::plug::wait_until;

/// A kind of file system that can be shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// With a journal, as `mkfs.ext4` makes it.
    Ext4,
    /// As `mkfs.xfs` makes it.
    Xfs,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 2] = [Kind::Ext4, Kind::Xfs];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
        }
    }

    fn make(self, image: &Path) -> Command {
        // The least that xfs takes; unwritten space takes no room.
        let (program, options) = match self {
            Kind::Ext4 => ("mkfs.ext4", ["-q", "-F"]),
            Kind::Xfs => ("mkfs.xfs", ["-q", "-f"]),
        };
        let mut command = Command::new(program);
        command.args(options).arg(image);
        command
    }
}

/// Size of the file that holds it, bytes.
const IMAGE_BYTES: u64 = 320 << 20;

/// A mounted file system.
pub(super) struct Mount {
    kind: Kind,
    image: PathBuf,
    folder: PathBuf,
}

impl Mount {
    /// Gives this thread mounts of its own, makes the file system, and mounts it.
    ///
    /// # Errors
    /// A sentence that says why it cannot be.
    pub(super) fn make(kind: Kind, place: &Path) -> Result<Mount, String> {
        let why = |e: io::Error| format!("{} cannot be made: {e}", kind.name());
        unshare(CloneFlags::CLONE_NEWNS).map_err(|e| format!("mounts of its own: {e} (it needs root)"))?;
        run(Command::new("mount").args(["--make-rprivate", "/"]))?;
        let mount = Mount { kind, image: place.join("image"), folder: place.join("mount") };
        fs::create_dir(&mount.folder).map_err(why)?;
        fs::File::create(&mount.image).and_then(|image| image.set_len(IMAGE_BYTES)).map_err(why)?;
        run(&mut kind.make(&mount.image))?;
        mount.mount()?;
        Ok(mount)
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn mount(&self) -> Result<(), String> {
        run(Command::new("mount")
            .args(["-t", self.kind.name(), "-o", "loop"])
            .args([&self.image, &self.folder]))
    }

    /// Mounts again as a boot does after a power loss: all processes are gone, and the file system replays
    /// its journal.
    pub(super) fn mount_again(&self, spare: u32) -> Result<(), String> {
        let mut why = String::new();
        let is_free = wait_until(|| {
            end_others(spare)?;
            why = run(Command::new("umount").arg(&self.folder)).err().unwrap_or_default();
            Ok(why.is_empty())
        });
        match is_free {
            Ok(true) => self.mount(),
            Ok(false) => Err(why),
            Err(e) => Err(e.to_string()),
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = end_others(0);
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.folder));
    }
}

/// Kills all other processes that have this thread's mounts: only this thread's children have them.
pub(super) fn end_others(spare: u32) -> io::Result<()> {
    let own = fs::read_link("/proc/thread-self/ns/mnt")?;
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let is_other = pid != spare && pid != std::process::id();
        // A process that is gone has no namespace.
        if is_other && fs::read_link(entry.path().join("ns/mnt")).is_ok_and(|theirs| theirs == own) {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ")))
}
