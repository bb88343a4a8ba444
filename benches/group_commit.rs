//! Durable appends of 64 threads and of 64 processes: how many records share a sync, and the rate
//! against one sync each under a mutex or a flock.
//!
//! Every burst of ours lies between two bursts of the floor; the ratio is of that round.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Child;
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use support::floor::BareFile;
use support::table::{Target, heading, row};
use support::{library, median};

const WRITERS: usize = 64;
const ROUNDS: usize = 7;
const BURST: Duration = Duration::from_millis(700);

/// What the writers of one burst did together.
#[derive(Clone, Copy)]
struct Burst {
    rate: f64,
    records: u64,
    syncs: u64,
    /// The longest that one append took.
    longest: Duration,
}

fn main() {
    match support::role() {
        Some((role, arguments)) if role == "ours" => one_of_ours(Path::new(&arguments[0])),
        Some((role, arguments)) if role == "floor" => one_of_the_floor(Path::new(&arguments[0])),
        _ => measure(),
    }
}

fn measure() {
    heading("64 writers at once, records of 300 bytes");
    let place = support::workplace();
    compare("threads", || threads_under_a_mutex(place.path()), || threads_of_ours(place.path()));
    let bare = place.path().join("bare-processes");
    let log = place.path().join("log-processes");
    compare("processes", || processes("floor", &bare), || processes("ours", &log));
}

fn compare(who: &str, floor: impl Fn() -> Burst, ours: impl Fn() -> Burst) {
    let mut rounds = Vec::new();
    let mut before = floor();
    for _ in 0..ROUNDS {
        let (middle, after) = (ours(), floor());
        rounds.push((middle, (before.rate + after.rate) / 2.0));
        before = after;
    }
    let of = |f: &dyn Fn(&(Burst, f64)) -> f64| median(&rounds.iter().map(f).collect::<Vec<_>>());
    let rate = |r: f64| format!("{r:.0}/s");
    let (ours, floor) = (of(&|r| r.0.rate), of(&|r| r.1));
    let what = format!("rate, 64 {who}");
    row(&what, &rate(ours), &rate(floor), of(&|r| r.0.rate / r.1), Target::AtLeast(6.0));
    let shared = of(&|r| r.0.records as f64 / r.0.syncs as f64);
    let records: u64 = rounds.iter().map(|r| r.0.records).sum();
    let syncs: u64 = rounds.iter().map(|r| r.0.syncs).sum();
    let counted = format!("{records} records, {syncs} syncs");
    row(&format!("records a sync, 64 {who}"), &counted, "1", shared, Target::AtLeast(20.0));
    let longest = rounds.iter().map(|r| r.0.longest).max().unwrap_or_default();
    println!("| longest wait of one append, 64 {who} | {} | | | | |", support::time(longest));
}

/// Appends until the burst is over; how often, and the longest time.
fn until_over(mut append: impl FnMut()) -> (u64, Duration) {
    let begun = Instant::now();
    let (mut records, mut longest) = (0, Duration::ZERO);
    while begun.elapsed() < BURST {
        let before = Instant::now();
        append();
        longest = longest.max(before.elapsed());
        records += 1;
    }
    (records, longest)
}

fn threads(append: impl Fn() + Sync) -> Burst {
    let start = Barrier::new(WRITERS);
    let writer = || {
        start.wait();
        until_over(&append)
    };
    let begun = Instant::now();
    let done: Vec<_> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(writer)).collect();
        writers.into_iter().map(|w| w.join().expect("a writer")).collect()
    });
    let records = done.iter().map(|d| d.0).sum::<u64>();
    let longest = done.iter().map(|d| d.1).max().unwrap_or_default();
    Burst { rate: records as f64 / begun.elapsed().as_secs_f64(), records, syncs: records, longest }
}

fn threads_under_a_mutex(folder: &Path) -> Burst {
    let file = Mutex::new(BareFile::open(&folder.join("bare-threads")));
    threads(|| file.lock().expect("the file").append())
}

fn threads_of_ours(folder: &Path) -> Burst {
    let (disk, syncs) = library::counted_disk();
    let log = library::log(&disk, &folder.join("log-threads"));
    let payload = library::payload();
    let before = syncs.count();
    let burst = threads(|| library::append(&log, &payload));
    Burst { syncs: syncs.count() - before, ..burst }
}

fn one_of_ours(folder: &Path) {
    let (disk, syncs) = library::counted_disk();
    let log = library::log(&disk, folder);
    let payload = library::payload();
    let before = syncs.count();
    burst_on_signal(|| library::append(&log, &payload), || syncs.count() - before);
}

fn one_of_the_floor(path: &Path) {
    let mut file = BareFile::open(path);
    burst_on_signal(|| file.append_locked(), || 0);
}

/// Says that it is ready, waits until told, and says what it did.
fn burst_on_signal(append: impl FnMut(), syncs: impl FnOnce() -> u64) {
    println!("ready");
    std::io::stdin().read_exact(&mut [0]).expect("the signal");
    let (records, longest) = until_over(append);
    println!("{records} {} {}", syncs(), longest.as_nanos());
}

fn processes(role: &str, path: &Path) -> Burst {
    let argument = path.to_string_lossy();
    let mut children: Vec<Child> =
        (0..WRITERS).map(|_| support::in_role(role, &[&argument]).spawn().expect("a writer")).collect();
    let mut answers: Vec<_> =
        children.iter_mut().map(|c| BufReader::new(c.stdout.take().expect("its output"))).collect();
    let mut line = String::new();
    for answer in &mut answers {
        answer.read_line(&mut line).expect("ready");
    }
    for child in &mut children {
        child.stdin.take().expect("its input").write_all(b"!").expect("the signal");
    }
    let mut burst = Burst { rate: 0.0, records: 0, syncs: 0, longest: Duration::ZERO };
    for (mut child, mut answer) in children.into_iter().zip(answers) {
        let mut text = String::new();
        answer.read_to_string(&mut text).expect("an answer");
        assert!(child.wait().expect("its end").success());
        let [records, syncs, longest] = support::parse_numbers(&text)[..] else { panic!("{text}") };
        burst.records += records;
        burst.syncs += syncs;
        burst.longest = burst.longest.max(Duration::from_nanos(longest));
    }
    if role == "floor" {
        burst.syncs = burst.records;
    }
    Burst { rate: burst.records as f64 / BURST.as_secs_f64(), ..burst }
}
