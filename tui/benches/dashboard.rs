//! The dashboard: how long its first frame takes beside reading the state, what it sends to the terminal while
//! nothing much happens, and what it uses while nothing happens at all.
//!
//! What is sent is counted behind the real backend. The processor's time is that of the built program (the one
//! that `RECOVERYCTL` names, else the release build) on a pseudo terminal that `script` of util-linux makes.
#![allow(clippy::disallowed_methods, clippy::print_stdout, missing_docs)]

#[path = "../../benches/support/mod.rs"]
mod support;

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use recovery::queue::Queue;
use recovery::state::{StateDir, Timestamp};
use recovery_tui::message::Message;
use recovery_tui::view::{Theme, draw};
use recovery_tui::{Directory, Model, OperationSource, Setting, View, read_once, update};
use support::floor::timed;
use support::table::{Target, heading, not_measured, row};
use support::{library, median, time};

const MANY: usize = 100_000;
const SOME: usize = 10_000;
const PASSES: usize = 7;
/// How long the steady state is, seconds.
const STEADY: i64 = 120;
const IDLE: Duration = Duration::from_secs(20);

fn main() {
    heading("The dashboard");
    let place = support::workplace();
    let many = library::queue_of(&place.path().join("many"), MANY);
    Queue::open(&many).expect("a queue").checkpoint().expect("a checkpoint");
    for (view, most) in [(View::Overview, 1.5), (View::Queue, 2.5), (View::Jobs, 2.5)] {
        first_frame(&many, view, most);
    }
    let some = library::queue_of(&place.path().join("some"), SOME);
    steady(&some);
    match support::binary() {
        Ok(binary) if support::is_installed("script") => idle(&binary, &some),
        Ok(_) => not_measured("processor, idle", "script is not installed"),
        Err(why) => not_measured("processor, idle", &why),
    }
}

fn source(dir: &StateDir) -> OperationSource<Directory> {
    OperationSource::new(Directory::with_defaults(dir.clone()))
}

fn model(view: View, now: Timestamp) -> Model {
    let setting = Setting {
        program: "recoveryctl".to_owned(),
        source: "/var/lib/recoveryctl".to_owned(),
        read_only: false,
        is_recovering: false,
    };
    Model::new(setting, view, (80, 24), now)
}

/// Counts what goes to the terminal.
#[derive(Clone, Default)]
struct Sent(Arc<AtomicU64>);

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Screen = Terminal<CrosstermBackend<Sent>>;

fn screen() -> (Screen, Sent) {
    let sent = Sent::default();
    let options = TerminalOptions { viewport: Viewport::Fixed(Rect::new(0, 0, 80, 24)) };
    let terminal = Terminal::with_options(CrosstermBackend::new(sent.clone()), options);
    (terminal.expect("a terminal"), sent)
}

fn show(screen: &mut Screen, model: &Model) {
    screen.draw(|frame| draw(frame, model, Theme { colors: true, ascii: false })).expect("a frame");
}

/// Everything from nothing to what was read being on the screen, beside reading the queue alone.
fn first_frame(dir: &StateDir, view: View, most: f64) {
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..PASSES {
        floors.push(timed(|| Queue::open(dir).expect("a queue")));
        ours.push(timed(|| {
            let mut model = model(view, dir.clock.now());
            read_once(&mut model, &mut source(dir));
            let (mut screen, sent) = screen();
            show(&mut screen, &model);
            assert!(sent.0.load(Ordering::Relaxed) > 1000, "something was drawn");
            model
        }));
    }
    let (ours, floor) = (median(&ours), median(&floors));
    let what = format!("first frame of {} at {MANY} jobs / reading the queue", view.title());
    row(&what, &time(ours), &time(floor), ours.as_secs_f64() / floor.as_secs_f64(), Target::AtMost(most));
}

/// Two minutes, drawn once a second and read every five seconds, as the loop does it.
fn steady(dir: &StateDir) {
    for view in [View::Overview, View::Queue, View::Jobs] {
        let begun = dir.clock.now();
        let mut model = model(view, begun);
        let mut source = source(dir);
        read_once(&mut model, &mut source);
        let (mut screen, sent) = screen();
        show(&mut screen, &model);
        let first = sent.0.load(Ordering::Relaxed);
        for second in 1..=STEADY {
            drop(update(&mut model, Message::Time(begun.plus_millis(second * 1000))));
            if second % 5 == 0 {
                read_once(&mut model, &mut source);
            }
            show(&mut screen, &model);
        }
        let rate = (sent.0.load(Ordering::Relaxed) - first) as f64 / STEADY as f64;
        let what = format!("{} at {SOME} jobs, bytes a second", view.title());
        row(&what, &format!("{rate:.0} B/s"), &format!("first {first} B"), rate, Target::AtMost(1000.0));
    }
}

/// What the program uses while nothing happens.
fn idle(binary: &Path, dir: &StateDir) {
    let command = format!("{} --state-dir {} tui", binary.display(), dir.paths.root().display());
    let mut script = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("script starts");
    // Time to start and to read.
    std::thread::sleep(Duration::from_secs(3));
    let pid = descendant(script.id());
    let (before, begun) = (used(pid), Instant::now());
    std::thread::sleep(IDLE);
    let share = (used(pid) - before) as f64 / 100.0 / begun.elapsed().as_secs_f64();
    row(
        "processor while nothing happens, share of one",
        &format!("{:.2} %", share * 100.0),
        "",
        share,
        Target::AtMost(0.01),
    );
    script.stdin.take().expect("a pipe").write_all(b"q").expect("a key");
    script.wait().expect("it ends");
}

/// The last of the children's children.
fn descendant(mut pid: u32) -> u32 {
    while let Some(child) = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .ok()
        .and_then(|children| children.split_whitespace().next()?.parse().ok())
    {
        pid = child;
    }
    pid
}

/// Hundredths of a second of processor time.
fn used(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the program runs");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let number = |at: usize| fields[at].parse::<u64>().expect("a number");
    number(11) + number(12)
}
