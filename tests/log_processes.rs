//! The log with the worst neighbours: many processes append to it while one after the other is killed at any
//! moment.
#![allow(clippy::disallowed_methods)]

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use recovery::durable::log::{Log, LogOptions, ReadRequest, read};
use recovery::durable::{Disk, Quarantine};

const WRITERS: usize = 32;
const KILLS: usize = 400;
/// However slow the machine, the test ends.
const AT_MOST: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(3);
const STATE_ID: &str = "0192d7a0-0000-7000-8000-000000000000";
/// Set for the processes that this test starts: the folder that they work in, and their number.
const WRITER: &str = "RECOVERY_TEST_LOG_WRITER";

fn open(root: &Path) -> Log {
    let options = LogOptions {
        folder: root.join("log"),
        name: "test",
        state_id: STATE_ID.to_owned(),
        epoch: recovery::system::Host::this().boot_id,
        // Small, so that writers are also killed while they begin a new one.
        segment_bytes: 64 << 10,
        preallocate: true,
        min_next_seq: 1,
        lock_wait: Duration::from_secs(10),
        quarantine: Quarantine::new(Disk::real(), root.join("quarantine")),
        stamp: Arc::new(|| "2026-03-01T09:30:00.000Z".to_owned()),
    };
    Log::open(&Disk::real(), options).unwrap()
}

/// Appends until it is killed. After each acknowledgement it notes the record in a file of its own;
/// what a killed process has written there stays.
fn write_until_killed(root: &Path, number: &str) {
    let log = open(root);
    let mut acknowledged = File::options().append(true).open(acknowledged_by(root, number)).unwrap();
    let filler = "x".repeat(3_000);
    for n in 0u64.. {
        let name = format!("{number}-{n}");
        // Some records are longer than a page: a kill can tear them.
        let length = if n % 4 == 0 { 3_000 } else { 200 };
        let seq = log.append(&[format!("{name} {}", &filler[..length])]).unwrap();
        acknowledged.write_all(format!("{seq} {name}\n").as_bytes()).unwrap();
    }
}

fn acknowledged_by(root: &Path, number: &str) -> PathBuf {
    root.join(format!("acknowledged-{number}"))
}

struct Writer {
    process: Child,
}

impl Writer {
    /// Starts this very test in another process.
    fn start(root: &Path, number: usize) -> Writer {
        File::create(acknowledged_by(root, &number.to_string())).unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "log_processes::killed_writers_lose_and_double_nothing", "--nocapture"])
            .env(WRITER, format!("{}\n{number}", root.display()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Writer { process }
    }

    fn kill(&mut self) {
        assert!(self.process.try_wait().unwrap().is_none(), "a writer ended before it was killed");
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn killed_writers_lose_and_double_nothing() {
    if let Ok(task) = std::env::var(WRITER) {
        let (root, number) = task.split_once('\n').unwrap();
        return write_until_killed(Path::new(root), number);
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir(root.join("log")).unwrap();
    let started = kill_one_after_the_other(root);
    let acknowledged = acknowledged(root, started);
    assert!(acknowledged.len() > WRITERS, "only {} records were acknowledged", acknowledged.len());
    // A process that comes later sees, and repairs, what the killed ones left.
    open(root).append(&["last"]).unwrap();
    check(root, &acknowledged);
    // And so does the thorough way, as after a reboot.
    std::fs::remove_file(root.join("log/commit.page")).unwrap();
    open(root).append(&["very-last"]).unwrap();
    check(root, &acknowledged);
}

/// Returns how many writers there were in all.
fn kill_one_after_the_other(root: &Path) -> usize {
    let begun = Instant::now();
    let mut writers: Vec<Writer> = (0..WRITERS).map(|n| Writer::start(root, n)).collect();
    let mut started = WRITERS;
    for kill in 0..KILLS {
        if begun.elapsed() > AT_MOST {
            break;
        }
        // Kills come at moments that have nothing to do with what the writers do.
        std::thread::sleep(PAUSE);
        let victim = &mut writers[kill * 7 % WRITERS];
        victim.kill();
        *victim = Writer::start(root, started);
        started += 1;
    }
    writers.iter_mut().for_each(Writer::kill);
    started
}

/// Returns what was acknowledged to every writer, by sequence number. A line that its death cut short was not
/// acknowledged.
fn acknowledged(root: &Path, writers: usize) -> HashMap<u64, String> {
    let mut all = HashMap::new();
    for number in 0..writers {
        let text = std::fs::read_to_string(acknowledged_by(root, &number.to_string())).unwrap();
        for line in text.split_inclusive('\n').filter_map(|l| l.strip_suffix('\n')) {
            let (seq, name) = line.split_once(' ').unwrap();
            let before = all.insert(seq.parse().unwrap(), name.to_owned());
            assert_eq!(before, None, "sequence number {seq} was given twice");
        }
    }
    all
}

fn check(root: &Path, acknowledged: &HashMap<u64, String>) {
    let folder = root.join("log");
    let request = ReadRequest {
        folder: &folder,
        state_id: Some(STATE_ID),
        from: recovery::durable::log::Position::default(),
        until: None,
    };
    let (mut by_seq, mut names) = (HashMap::new(), HashSet::new());
    let summary = read(request, |seq, payload| {
        let name = String::from_utf8(payload.to_vec()).unwrap();
        let name = name.split(' ').next().unwrap().to_owned();
        assert!(names.insert(name.clone()), "{name} is there twice");
        by_seq.insert(seq, name);
    })
    .unwrap();
    assert_eq!((summary.damage, summary.missing), (vec![], vec![]));
    for (seq, name) in acknowledged {
        assert_eq!(by_seq.get(seq), Some(name), "record {seq} was acknowledged");
    }
}
