//! Reading a queue of 1,000,000 records (300 MB), against a loop that parses the same lines with
//! serde_json into borrowed structs, on as many threads; and the memory that it takes at most.
//!
//! Every pass is a process of its own, ours and the floor in turn, the files in the page cache.
#![allow(clippy::disallowed_methods, clippy::print_stdout, missing_docs)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use recovery::durable::log::SegmentFile;
use recovery::queue::Queue;
use serde::Deserialize;
use serde_json::value::RawValue;
use support::table::{Target, heading, row};
use support::{library, median, megabytes, memory, time};

const JOBS: usize = 1_000_000;
const PASSES: usize = 7;
/// Bytes before a record's payload.
const HEAD: usize = 35;

fn main() {
    match support::role() {
        Some((role, arguments)) if role == "ours" => ours(Path::new(&arguments[0])),
        Some((role, arguments)) if role == "floor" => {
            floor(Path::new(&arguments[0]), arguments[1].parse().expect("a number"));
        }
        Some((role, arguments)) if role == "make" => drop(library::queue_of(Path::new(&arguments[0]), JOBS)),
        _ => measure(),
    }
}

fn measure() {
    heading("Reading 1,000,000 records");
    let place = support::workplace();
    let root = place.path().join("state");
    let dir = library::queue_of(&root, JOBS);
    let bytes = log_bytes(&dir.paths.queue_log());
    let root = root.to_string_lossy().into_owned();
    let (mut our_times, mut one_thread, mut two_threads, mut peaks) = (vec![], vec![], vec![], vec![]);
    for _ in 0..PASSES {
        let [nanos, jobs, peak] = support::numbers(&mut support::in_role("ours", &[&root]))[..] else {
            panic!("three numbers")
        };
        assert_eq!(jobs, JOBS as u64);
        our_times.push(Duration::from_nanos(nanos));
        peaks.push(peak);
        for (threads, times) in [("1", &mut one_thread), ("2", &mut two_threads)] {
            let answer = support::numbers(&mut support::in_role("floor", &[&root, threads]));
            assert_eq!(answer[1], JOBS as u64);
            times.push(Duration::from_nanos(answer[0]));
        }
    }
    let ours = median(&our_times);
    for (what, times, target) in [
        ("open the queue / parse, 1 thread", one_thread, 1.2),
        ("open the queue / parse, 2 threads", two_threads, 1.2),
    ] {
        let floor = median(&times);
        let ratio = ours.as_secs_f64() / floor.as_secs_f64();
        row(what, &time(ours), &time(floor), ratio, Target::AtMost(target));
    }
    let peak = median(&peaks);
    let ratio = peak as f64 / bytes as f64;
    row("peak memory / log", &megabytes(peak), &megabytes(bytes), ratio, Target::AtMost(1.5));
}

fn log_bytes(folder: &Path) -> u64 {
    let segments = SegmentFile::list(folder).expect("segments");
    segments.iter().map(|s| std::fs::metadata(&s.path).expect("a segment").len()).sum()
}

fn ours(root: &Path) {
    let dir = library::open_dir(root);
    let begun = Instant::now();
    let queue = Queue::open(&dir).expect("a queue");
    let took = begun.elapsed();
    assert!(queue.replayed().is_clean());
    let peak = memory(std::process::id(), "VmHWM").unwrap_or(0);
    println!("{} {} {peak}", took.as_nanos(), queue.state().jobs().len());
}

/// Every member of a submission's record, borrowed from the line.
#[derive(Deserialize)]
#[allow(dead_code)] // Parsed, as a program would that uses them.
struct Borrowed<'a> {
    at: &'a str,
    op: &'a str,
    by: &'a str,
    job: &'a str,
    #[serde(default)]
    priority: i32,
    repository: Option<&'a str>,
    #[serde(borrow)]
    spec: &'a RawValue,
}

/// Reads all segments and parses every line; each thread takes every so-manieth segment.
fn floor(root: &Path, threads: usize) {
    let folder = root.join("queue/log");
    let begun = Instant::now();
    let segments = SegmentFile::list(&folder).expect("segments");
    let parsed: usize = std::thread::scope(|scope| {
        let segments = &segments;
        let parsers: Vec<_> =
            (0..threads).map(|t| scope.spawn(move || parse_every(segments, t, threads))).collect();
        parsers.into_iter().map(|p| p.join().expect("a parser")).sum()
    });
    println!("{} {parsed}", begun.elapsed().as_nanos());
}

fn parse_every(segments: &[SegmentFile], first: usize, step: usize) -> usize {
    let mine: Vec<Vec<u8>> = segments
        .iter()
        .skip(first)
        .step_by(step)
        .map(|s| std::fs::read(&s.path).expect("a segment"))
        .collect();
    let mut parsed: Vec<Borrowed<'_>> = Vec::new();
    for content in &mine {
        // The first line is the segment's header; the reserve at the end has no lines.
        let mut rest = &content[..];
        let mut is_header = true;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            if !is_header {
                parsed.push(serde_json::from_slice(&rest[HEAD..end]).expect("a record"));
            }
            is_header = false;
            rest = &rest[end + 1..];
        }
    }
    std::hint::black_box(&parsed).len()
}
