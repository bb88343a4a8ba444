//! Durable appends of one thread: against a bare append-and-fdatasync loop on the same disk and on a
//! journaled ext4 image, and the syncs that each takes, counted by strace.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use recovery::durable::{Disk, replace};
use support::floor::{BareFile, alternate};
use support::table::{Target, heading, not_measured, row};
use support::{library, median, time};

const OPERATIONS: usize = 2_000;

fn main() {
    match support::role() {
        Some((role, arguments)) if role == "append" => appends(&arguments),
        Some((role, arguments)) if role == "replace" => replacements(&arguments),
        _ => measure(),
    }
}

fn measure() {
    heading("One thread, records of 300 bytes");
    let place = support::workplace();
    single_writer("append + sync, this disk", place.path(), Target::AtLeast(0.95));
    match JournaledImage::mount(place.path()) {
        Ok(image) => {
            single_writer("append + sync, journaled ext4", &image.mounted_at, Target::AtLeast(2.0));
        }
        Err(why) => not_measured("append + sync, journaled ext4", &why),
    }
    syncs_of("append", "syncs an append (strace)", 1.0);
    syncs_of("replace", "syncs an atomic replace (strace)", 2.0);
}

/// Value: rate of ours over the floor's, from the medians.
fn single_writer(what: &str, folder: &Path, target: Target) {
    let log = library::log(&Disk::real(), &folder.join("log"));
    let mut bare = BareFile::open(&folder.join("bare"));
    let payload = library::payload();
    let append = || library::append(&log, &payload);
    let (ours, floor) = alternate(OPERATIONS, append, || bare.append());
    let (ours, floor) = (median(&ours), median(&floor));
    row(what, &time(ours), &time(floor), floor.as_secs_f64() / ours.as_secs_f64(), target);
}

fn appends(arguments: &[String]) {
    let log = library::log(&Disk::real(), Path::new(&arguments[0]));
    let payload = library::payload();
    for _ in 0..arguments[1].parse().expect("a number") {
        library::append(&log, &payload);
    }
}

fn replacements(arguments: &[String]) {
    let path = Path::new(&arguments[0]).join("replaced");
    for _ in 0..arguments[1].parse().expect("a number") {
        replace(&Disk::real(), &path, &library::payload()).expect("a replacement");
    }
}

/// What opening costs cancels out: it is in both counts.
fn syncs_of(role: &str, what: &str, wanted: f64) {
    if !support::is_installed("strace") {
        return not_measured(what, "strace is not installed");
    }
    let place = support::workplace();
    let few = strace(place.path(), role, 100);
    let many = strace(place.path(), role, 1_100);
    let each = (many as f64 - few as f64) / 1_000.0;
    row(what, &format!("{each} each of 1,000"), "", each, Target::Exactly(wanted));
}

fn strace(folder: &Path, role: &str, operations: u32) -> u64 {
    let (report, state) = (folder.join("strace"), folder.join(format!("{role}-{operations}")));
    std::fs::create_dir(&state).expect("a folder");
    let calls = "trace=fsync,fdatasync,msync,sync,syncfs,sync_file_range";
    let status = Command::new("strace")
        .args(["-f", "-c", "-e", calls, "-o"])
        .arg(&report)
        .arg(support::own_program())
        .arg(format!("role:{role}"))
        .arg(&state)
        .arg(operations.to_string())
        .status()
        .expect("strace can be started");
    assert!(status.success(), "strace ended with {status}");
    let report = std::fs::read_to_string(&report).expect("strace's report");
    report.lines().filter(|l| l.contains("sync")).filter_map(calls_in).sum()
}

/// `% time, seconds, usecs/call, calls, [errors,] name`.
fn calls_in(line: &str) -> Option<u64> {
    line.split_whitespace().nth(3)?.parse().ok()
}

/// A file with a journaled ext4 in it, mounted; unmounted and removed with the folder it lies in.
struct JournaledImage {
    mounted_at: PathBuf,
}

impl JournaledImage {
    fn mount(folder: &Path) -> Result<JournaledImage, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can mount".to_owned());
        }
        let (image, mounted_at) = (folder.join("image"), folder.join("mounted"));
        let file = std::fs::File::create(&image).map_err(|e| e.to_string())?;
        file.set_len(256 << 20).map_err(|e| e.to_string())?;
        std::fs::create_dir(&mounted_at).map_err(|e| e.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-O", "has_journal"]).arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mounted_at))?;
        Ok(JournaledImage { mounted_at })
    }
}

impl Drop for JournaledImage {
    fn drop(&mut self) {
        if let Err(why) = run(Command::new("umount").arg(&self.mounted_at)) {
            println!("\n{} could not be unmounted: {why}", self.mounted_at.display());
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("{name}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    if output.status.success() { Ok(()) } else { Err(format!("{name} failed: {said}")) }
}
