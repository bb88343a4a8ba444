//! A disk that fails on demand.
#![allow(dead_code, unreachable_pub, clippy::disallowed_methods)]

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use recovery::durable::{Disk, Effect, Observer};

pub const EIO: i32 = 5;
pub const ENOSPC: i32 = 28;

/// Which effects are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuse {
    Nothing,
    /// One effect, by its number, counted from 0.
    Only(u64),
    /// That effect and everything after it: the disk is gone.
    From(u64),
    /// The next syncs of files, this many.
    Syncs(u64),
}

/// Refuses effects; of a write that it refuses it lets half of the bytes through.
#[derive(Debug)]
pub struct Faults {
    pub errno: i32,
    refuse: Mutex<Refuse>,
    seen: AtomicU64,
    pub log: Mutex<Vec<String>>,
}

impl Faults {
    pub fn new(errno: i32, refuse: Refuse) -> (Arc<Faults>, Disk) {
        let faults = Arc::new(Faults {
            errno,
            refuse: Mutex::new(refuse),
            seen: AtomicU64::new(0),
            log: Mutex::default(),
        });
        (faults.clone(), Disk::observed(faults))
    }

    pub fn set(&self, refuse: Refuse) {
        *self.refuse.lock().unwrap() = refuse;
    }

    /// How many effects were asked for.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }

    /// The effects that happened, in words.
    pub fn done(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

impl Observer for Faults {
    fn before(&self, effect: &Effect<'_>) -> io::Result<()> {
        let number = self.seen.fetch_add(1, Ordering::SeqCst);
        let mut refuse = self.refuse.lock().unwrap();
        let refused = match &mut *refuse {
            Refuse::Nothing => false,
            Refuse::Only(n) => number == *n,
            Refuse::From(n) => number >= *n,
            Refuse::Syncs(left) => {
                let hit = *left > 0 && matches!(effect, Effect::Sync { .. });
                *left -= u64::from(hit);
                hit
            }
        };
        if !refused {
            return Ok(());
        }
        if let Effect::Write { path, offset, bytes } = effect {
            let file = std::fs::OpenOptions::new().write(true).open(path)?;
            file.write_all_at(&bytes[..bytes.len() / 2], *offset)?;
        }
        Err(io::Error::from_raw_os_error(self.errno))
    }

    fn after(&self, effect: &Effect<'_>) {
        self.log.lock().unwrap().push(format!("{effect:?}").chars().take(200).collect());
    }
}

/// Runs `act` on a separate thread and fails the test when it does not return in time.
pub fn within<T: Send + 'static>(seconds: u64, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = send.send(act());
    });
    receive.recv_timeout(std::time::Duration::from_secs(seconds)).expect("it did not return in time")
}

/// Returns a folder that is removed at the end; it is in memory where possible, so that a thousand syncs cost
/// little.
pub fn scratch() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

/// Reports that a test does not run here; where all tests must run, it fails.
pub fn skipped(why: &str) {
    let must_run = std::env::var_os("RECOVERYCTL_TESTS_MUST_RUN").is_some_and(|set| !set.is_empty());
    assert!(!must_run, "RECOVERYCTL_TESTS_MUST_RUN is set, and this test cannot run: {why}");
    skipped_by_the_machine(why);
}

/// The same for what no installation provides: a kernel, a file system, a privilege on this machine.
pub fn skipped_by_the_machine(why: &str) {
    use std::io::Write;
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(io::stderr(), "SKIPPED {test}: {why}");
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
