//! What a job prints, on its way into its file: how fast a command can print that is a job, measured against the same
//! command printing into a file itself, in the same run. Both figures are of the page cache; what is measured is the
//! way through the pipe.
//!
//! `cargo bench --bench output [MEGABYTES]`

#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use recovery::durable::Disk;
use recovery::jobs::keep_output;

const PRINT: &str = "print";
const KEEP: &str = "keep";
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some(PRINT) => print(arguments[1].parse().unwrap()),
        Some(KEEP) => keep(),
        size => compare(size.and_then(|s| s.parse().ok()).unwrap_or(1024)),
    }
}

/// Megabytes, in the pieces in which programs print.
fn print(megabytes: usize) {
    let line = [b"x".repeat(63), b"\n".to_vec()].concat().repeat(1024);
    let mut out = std::io::stdout().lock();
    for _ in 0..megabytes * 16 {
        out.write_all(&line).unwrap();
    }
}

fn keep() {
    let (pipe, file) = (std::io::stdin(), std::io::stdout());
    let own = |fd: std::os::fd::BorrowedFd<'_>| File::from(fd.try_clone_to_owned().unwrap());
    keep_output(&Disk::real(), own(pipe.as_fd()), own(file.as_fd()), u64::MAX / 2).unwrap();
}

fn compare(megabytes: usize) {
    let folder = tempfile::tempdir_in(std::env::var_os("BENCH_DIR").unwrap_or_else(|| ".".into())).unwrap();
    let path = folder.path().join("output.log");
    let (mut direct, mut kept) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        direct = direct.min(timed(|| printer(megabytes, fresh(&path).into())));
        kept = kept.min(timed(|| through_keeper(megabytes, fresh(&path))));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), (megabytes as u64) << 20, "nothing is lost");
    }
    let rate = |taken: Duration| megabytes as f64 / 1024.0 / taken.as_secs_f64();
    println!("into a file: {:.2} GiB/s", rate(direct));
    println!("through the pipe and its keeper: {:.2} GiB/s", rate(kept));
    println!("ratio: {:.2}", rate(kept) / rate(direct));
}

fn fresh(path: &std::path::Path) -> File {
    File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap()
}

fn timed(act: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    act();
    begun.elapsed()
}

fn printer(megabytes: usize, stdout: Stdio) {
    let own = std::env::current_exe().unwrap();
    let status = Command::new(own).args([PRINT, &megabytes.to_string()]).stdout(stdout).status();
    assert!(status.unwrap().success());
}

fn through_keeper(megabytes: usize, file: File) {
    let (reader, writer) = std::io::pipe().unwrap();
    let reader = File::from(OwnedFd::from(reader));
    rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::NONBLOCK).unwrap();
    recovery::jobs::size_of_output_pipe(&writer);
    let own = std::env::current_exe().unwrap();
    let mut keeper = Command::new(own).arg(KEEP).stdin(reader).stdout(file).spawn().unwrap();
    printer(megabytes, Stdio::from(OwnedFd::from(writer)));
    assert!(keeper.wait().unwrap().success());
}
