//! The plug of a mounted file system: pulled when so many effects have been begun, whichever process of an
//! operation begins the last of them.
//!
//! It is a folder beside the recording, on another file system: `at` holds the number and the turn, `count` a
//! byte for each effect, `pull` is a pipe behind which a process waits that makes the ioctl (calling it here
//! would need `unsafe`), and `pulled` exists once it has.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything here is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits behind the pipe. The number is `EXT4_IOC_SHUTDOWN` as well as `XFS_IOC_GOINGDOWN`; 2 means "without
/// flushing the journal": unsynced data is lost.
const PULL: &str = "
import fcntl, os, struct, sys
mount, plug = sys.argv[1:]
open(plug + '/waits', 'w').close()
last = ''
while True:
    turn = open(plug + '/pull').read().split('.')[0]
    if turn in ('', last):
        continue
    last = turn
    folder = os.open(mount, os.O_RDONLY)
    fcntl.ioctl(folder, 0x8004587D, struct.pack('I', 2))
    os.close(folder)
    open(plug + '/pulled', 'w').close()
";

/// Polls, where no call can wait; returns false after too long.
pub(super) fn wait_until(mut is_so: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
    let begun = Instant::now();
    while !is_so()? {
        if begun.elapsed() > PATIENCE {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(true)
}

/// The side of the processes that are counted.
pub(crate) struct Plug {
    folder: PathBuf,
    at: u64,
    turn: u64,
}

impl Plug {
    /// The plug that belongs to a recording, if it has one.
    pub(crate) fn beside(recording: &Path) -> io::Result<Option<Plug>> {
        let folder = recording.with_extension("plug");
        match std::fs::read_to_string(folder.join("at")) {
            Ok(text) => {
                let (at, turn) = text.split_once(' ').ok_or_else(|| io::Error::other("half a plug"))?;
                let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
                Ok(Some(Plug { at: number(at)?, turn: number(turn)?, folder }))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// An effect begins. Does not return when it is the one before which the power goes.
    pub(crate) fn effect_begins(&self) -> io::Result<()> {
        // Opened anew, because the offset in a file belongs to the process that opened it: so each sees its
        // own number.
        let mut count = OpenOptions::new().append(true).open(self.folder.join("count"))?;
        count.write_all(b".")?;
        if count.stream_position()? != self.at {
            return Ok(());
        }
        pull(&self.folder, self.turn)?;
        kill(Pid::this(), Signal::SIGKILL)?;
        Err(io::Error::other("SIGKILL has come back"))
    }
}

/// Pulls the plug, and returns when it is out. In one turn it is pulled once, however many processes ask: one
/// that asks later, or is killed while it asks, must not shut down the next mount.
fn pull(folder: &Path, turn: u64) -> io::Result<()> {
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut pipe = OpenOptions::new();
    pipe.write(true).custom_flags(nonblock);
    // Non-blocking, so that it is refused while no process waits there, instead of waiting for ever.
    let ask = || pipe.open(folder.join("pull")).and_then(|mut pipe| write!(pipe, "{turn}."));
    let is_heard = wait_until(|| Ok(ask().is_ok()))?;
    if is_heard && wait_until(|| Ok(folder.join("pulled").exists()))? {
        return Ok(());
    }
    Err(io::Error::other("the file system was not shut down"))
}

/// The side of the laboratory: the folder, and the process behind the pipe.
pub(super) struct Hand {
    folder: PathBuf,
    process: Child,
    turn: u64,
}

impl Hand {
    /// Takes the plug of a mounted file system, for processes that record to `recording`.
    pub(super) fn take(recording: &Path, mount: &Path) -> io::Result<Hand> {
        let folder = recording.with_extension("plug");
        std::fs::create_dir(&folder)?;
        let pipe = folder.join("pull");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )?;
        // It would wait for ever, and keep the mounts, if the laboratory were killed.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "python3", "-c", PULL])
            .args([mount, &folder])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut hand = Hand { process: command.spawn()?, folder, turn: 0 };
        let waits = hand.folder.join("waits");
        // Before that, `python3` may be a script that still looks for it.
        if wait_until(|| Ok(waits.exists() || hand.process.try_wait()?.is_some()))? && waits.exists() {
            return Ok(hand);
        }
        Err(io::Error::other("it does not start"))
    }

    /// From here on effects are counted, and before the `at`-th the power goes; 0 for never.
    pub(super) fn set(&mut self, at: u64) -> io::Result<()> {
        let _ = std::fs::remove_file(self.folder.join("pulled"));
        File::create(self.folder.join("count"))?;
        self.turn += 1;
        std::fs::write(self.folder.join("at"), format!("{at} {}", self.turn))
    }

    /// How many effects were begun.
    pub(super) fn count(&self) -> io::Result<u64> {
        Ok(std::fs::metadata(self.folder.join("count"))?.len())
    }

    /// Whether the power is gone.
    pub(super) fn is_pulled(&self) -> bool {
        self.folder.join("pulled").exists()
    }

    /// Pulls it now, unless it is out.
    pub(super) fn pull(&self) -> io::Result<()> {
        if self.is_pulled() { Ok(()) } else { pull(&self.folder, self.turn) }
    }

    /// The process behind the pipe.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
