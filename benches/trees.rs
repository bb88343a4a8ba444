//! Deleting and scanning trees, as ratios to the tools that everybody has.
//!
//! `cargo bench --bench trees`: 20,000 files in 200 folders are deleted by `rm -rf`, by four threads that unlink
//! folder by folder, and by `remove_tree`; 100,000 job folders are scanned, and listed by `find`. Rounds are
//! interleaved, since a disk is slower for a while after a mass deletion; medians are compared.

#![allow(clippy::disallowed_methods, clippy::print_stdout)] // Makes and removes its own trees.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use recovery::durable::Disk;
use recovery::durable::tree::remove_tree;
use recovery::orphans::{OrphanKind, OrphanSettings, ScanContext, scan};
use recovery::queue::{Actor, Queue};
use recovery::state::{Clock, StateDir};

const ROUNDS: usize = 5;

fn main() {
    deleting(200, 100);
    scanning(100_000);
}

fn made(top: &Path, folders: usize, files: usize) {
    for folder in 0..folders {
        let folder = top.join(folder.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        for file in 0..files {
            std::fs::write(folder.join(file.to_string()), [b'x'; 200]).unwrap();
        }
    }
}

fn timed(act: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    act();
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

fn unlink_side_by_side(top: &Path) {
    let folders: Vec<PathBuf> = std::fs::read_dir(top).unwrap().flatten().map(|e| e.path()).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(folder) = folders.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst)) {
                    for entry in std::fs::read_dir(folder).unwrap().flatten() {
                        std::fs::remove_file(entry.path()).unwrap();
                    }
                    std::fs::remove_dir(folder).unwrap();
                }
            });
        }
    });
    std::fs::remove_dir(top).unwrap();
}

fn deleting(folders: usize, files: usize) {
    let place = tempfile::tempdir().unwrap();
    let (mut rm, mut threads, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let top = place.path().join(round.to_string());
        made(&top, folders, files);
        rm.push(timed(|| assert!(Command::new("rm").arg("-rf").arg(&top).status().unwrap().success())));
        made(&top, folders, files);
        threads.push(timed(|| unlink_side_by_side(&top)));
        made(&top, folders, files);
        ours.push(timed(|| assert!(remove_tree(&Disk::real(), &top, &()).unwrap().is_complete())));
    }
    let (rm, threads, ours) = (median(rm), median(threads), median(ours));
    println!(
        "delete {} files in {folders} folders, ms: rm -rf {rm:.0}, four threads {threads:.0}, ours {ours:.0}",
        folders * files
    );
    println!("  ratio to the faster: {:.2}", ours / rm.min(threads));
}

fn scanning(jobs: usize) {
    let place = tempfile::tempdir().unwrap();
    let dir = StateDir::open_or_create(&place.path().join("state"), Disk::real(), Clock::system()).unwrap();
    for job in 0..jobs {
        let folder = dir.paths.jobs().join(format!("job-{job}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("output.log"), "x").unwrap();
    }
    let queue = Queue::open(&dir).unwrap();
    let settings = OrphanSettings::new(Actor::default());
    let (mut find, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        find.push(timed(|| {
            let mut find = Command::new("find");
            find.arg(dir.paths.jobs()).args(["-printf", "%s %T@\n"]).stdout(Stdio::null());
            assert!(find.status().unwrap().success());
        }));
        ours.push(timed(|| {
            let world = ScanContext::look(&dir, &settings, &queue).unwrap();
            let unknown = |_: &_, _| recovery::locks::JobLiveness::Unknown;
            let plan = scan(&world, &unknown, &[OrphanKind::JobDirectory], Vec::new()).unwrap();
            assert_eq!(plan.candidates.len(), jobs);
        }));
    }
    let (find, ours) = (median(find), median(ours));
    println!("scan {jobs} job folders, all of them candidates, ms: find {find:.0}, ours {ours:.0}");
    println!("  ratio: {:.2}", ours / find);
}
