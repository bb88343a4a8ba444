//! Reading a queue of 1,000,000 records (300 MB), against a loop that parses the same lines with
//! serde_json into borrowed structs, on as many threads; and the memory that it takes at most.
//!
//! Every pass is a process of its own, ours and the floor in turn, the files in the page cache.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

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
        _ => measure(),
    }
}

/// What one pass said.
struct Pass {
    took: Duration,
    /// Of the processor, by all threads: the same as `took` for one thread on a quiet machine, and
    /// steadier on a busy one.
    processor: Duration,
    peak_memory: u64,
}

fn measure() {
    heading("Reading 1,000,000 records of 300 bytes");
    let place = support::workplace();
    let root = place.path().join("state");
    let dir = library::queue_of(&root, JOBS);
    let bytes = log_bytes(&dir.paths.queue_log());
    let root = root.to_string_lossy().into_owned();
    let (mut ours, mut one_thread, mut two_threads) = (vec![], vec![], vec![]);
    for _ in 0..PASSES {
        ours.push(pass("ours", &[&root]));
        one_thread.push(pass("floor", &[&root, "1"]));
        two_threads.push(pass("floor", &[&root, "2"]));
    }
    let took = |passes: &[Pass]| median(&passes.iter().map(|p| p.took).collect::<Vec<_>>());
    let processor = |passes: &[Pass]| median(&passes.iter().map(|p| p.processor).collect::<Vec<_>>());
    compare("open the queue / parse the lines, 1 thread each", took(&ours), took(&one_thread));
    compare("processor time of the same", processor(&ours), processor(&one_thread));
    println!("| for scale: parse the lines, 2 threads | | {} | | | |", time(took(&two_threads)));
    let peak = median(&ours.iter().map(|p| p.peak_memory).collect::<Vec<_>>());
    let ratio = peak as f64 / bytes as f64;
    row("peak memory / log", &megabytes(peak), &megabytes(bytes), ratio, Target::AtMost(1.5));
}

fn compare(what: &str, ours: Duration, floor: Duration) {
    let ratio = ours.as_secs_f64() / floor.as_secs_f64();
    row(what, &time(ours), &time(floor), ratio, Target::AtMost(1.2));
}

fn pass(role: &str, arguments: &[&str]) -> Pass {
    let answer = support::numbers(&mut support::in_role(role, arguments));
    let [nanos, processor, jobs, peak_memory] = answer[..] else { panic!("four numbers: {answer:?}") };
    assert_eq!(jobs, JOBS as u64);
    Pass { took: Duration::from_nanos(nanos), processor: Duration::from_nanos(processor), peak_memory }
}

/// Runs `read` and says how long it took and how many jobs it found.
fn report<T>(read: impl FnOnce() -> T, jobs: impl FnOnce(&T) -> usize) {
    let (begun, processor) = (Instant::now(), processor_time());
    let result = read();
    let (took, processor) = (begun.elapsed(), processor_time() - processor);
    let peak = memory(std::process::id(), "VmHWM").expect("its memory");
    println!("{} {} {} {peak}", took.as_nanos(), processor.as_nanos(), jobs(&result));
    // Its end is not what is measured.
    std::mem::forget(result);
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("below a second"))
}

fn log_bytes(folder: &Path) -> u64 {
    let segments = SegmentFile::list(folder).expect("segments");
    segments.iter().map(|s| std::fs::metadata(&s.path).expect("a segment").len()).sum()
}

fn ours(root: &Path) {
    let dir = library::open_dir(root);
    let open = || {
        let queue = Queue::open(&dir).expect("a queue");
        assert!(queue.replayed().is_clean());
        queue
    };
    report(open, |queue| queue.state().jobs().len());
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

/// Reads all segments and parses every line, the segments dealt out to the threads in turn.
fn floor(root: &Path, threads: usize) {
    let folder = root.join("queue/log");
    let parse = || {
        let segments = SegmentFile::list(&folder).expect("segments");
        std::thread::scope(|scope| {
            let segments = &segments;
            let parsers: Vec<_> =
                (0..threads).map(|t| scope.spawn(move || parse_every(segments, t, threads))).collect();
            parsers.into_iter().map(|p| p.join().expect("a parser")).sum()
        })
    };
    report(parse, |parsed: &usize| *parsed);
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
    let count = std::hint::black_box(&parsed).len();
    // As ours: what was read stays until the process ends.
    std::mem::forget(parsed);
    std::mem::forget(mine);
    count
}
