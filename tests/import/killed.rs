//! An import that is killed at any effect on the disk, and repeated, ends like an undisturbed one.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use recovery::durable::{Disk, Effect, Observer, TEMPORARY_PREFIX};
use recovery::import::take_over;
use recovery::state::{Clock, StateDir};
use rustix::process::{Signal, getpid, kill_process};
use serde_json::{Value, json};

use super::workspace::{Legacy, now, options, tree};

const AT: &str = "RECOVERY_TEST_KILL_AT";
const STATE: &str = "RECOVERY_TEST_STATE";
const WORKSPACE: &str = "RECOVERY_TEST_WORKSPACE";

/// Kills this process at the n-th effect: before it when n is even, after it when odd.
struct Killer {
    at: usize,
    seen: AtomicUsize,
}

impl Killer {
    fn step(&self, half: usize) {
        let n = self.seen.fetch_add(half, Ordering::SeqCst) * 2 + half;
        if n == self.at {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
    }
}

impl Observer for Killer {
    fn before(&self, _: &Effect<'_>) -> io::Result<()> {
        self.step(0);
        Ok(())
    }

    fn after(&self, _: &Effect<'_>) {
        self.step(1);
    }
}

#[test]
#[ignore = "the process that the test below kills"]
fn imports_in_a_process_of_its_own() {
    let variable = |name| std::env::var(name).unwrap();
    let killer = Killer { at: variable(AT).parse().unwrap(), seen: AtomicUsize::new(0) };
    let disk = Disk::observed(Arc::new(killer));
    let dir = StateDir::open_or_create(Path::new(&variable(STATE)), disk, Clock::fixed(now())).unwrap();
    take_over(&dir, Path::new(&variable(WORKSPACE)), &options()).unwrap();
}

/// Returns true when the import was killed.
fn import_killed_at(legacy: &Legacy, at: usize) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "import::killed::imports_in_a_process_of_its_own", "--ignored"])
        .env(AT, at.to_string())
        .env(STATE, &legacy.state)
        .env(WORKSPACE, &legacy.root)
        .output()
        .unwrap()
        .status;
    assert!(status.success() || status.signal() == Some(9), "{status}");
    !status.success()
}

fn fill(legacy: &Legacy) {
    legacy.job(1, 1, &[("QueuePosition", json!(2))]);
    legacy.job(2, 1, &[("QueuePosition", json!(1))]);
    legacy.job(3, 4, &[]);
    legacy.job(4, 8, &[("Output", json!("only here")), ("ExitCode", json!(2))]);
    legacy.write(&legacy.file(5), "{\"Prompt\":\"saved\",\"Ti");
    legacy.put(5, "pid", "4194001\n");
    legacy.write(&legacy.file(6), "");
    legacy.job(7, 11, &[]);
}

/// What counts of a state directory: the queue, and the files of jobs and quarantine. Temporary files
/// that the kill left are for the next start to remove.
fn result(legacy: &Legacy) -> (Vec<Value>, Vec<String>, BTreeMap<PathBuf, Vec<u8>>) {
    let mut files = BTreeMap::new();
    for folder in ["jobs", "quarantine"] {
        for (path, content) in tree(&legacy.state.join(folder)) {
            let name = path.strip_prefix(&legacy.state).unwrap().to_owned();
            if !name.to_string_lossy().contains(TEMPORARY_PREFIX) {
                files.insert(name, content);
            }
        }
    }
    (legacy.queue(), legacy.line(), files)
}

#[test]
fn a_killed_import_is_finished_by_the_next() {
    let legacy = Legacy::new();
    fill(&legacy);
    assert!(!import_killed_at(&legacy, usize::MAX));
    let want = result(&legacy);
    assert_eq!((want.0.len(), want.1.len()), (6, 3));
    let mut kills = 0;
    // An odd step, so that some are killed before an effect and some after one.
    for at in (0..).step_by(5) {
        std::fs::remove_dir_all(&legacy.state).unwrap();
        if !import_killed_at(&legacy, at) {
            break;
        }
        kills += 1;
        let report = legacy.import();
        assert_eq!(report.imported + report.unchanged, 6, "killed at {at}");
        assert_eq!(result(&legacy), want, "killed at {at}");
    }
    assert!(kills > 20, "{kills}");
}
