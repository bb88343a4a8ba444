//! A fault of the dashboard's own gives the terminal back, too (a pseudo terminal that `script` of util-linux
//! makes). The program on that terminal is this test program itself, told by its environment what to play.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use recovery::state::Clock;
use recovery_tui::listing::{Document, DocumentLine, Object};
use recovery_tui::message::{Answer, Ask, Ran};
use recovery_tui::view::Theme;
use recovery_tui::{Options, Runner, Setting, Source, Sources, Trouble, View, run};

const PLAY: &str = "RECOVERYCTL_TEST_DASHBOARD";

/// Raised when a fault while reading has been noted: then it can be left.
static NOTED: AtomicBool = AtomicBool::new(false);
/// Raised when the next thing that is sent to the terminal shall fail.
static FAIL: AtomicBool = AtomicBool::new(false);

/// The terminal, to which once something cannot be sent.
struct Line(std::io::Stdout);

impl std::io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if FAIL.swap(false, Ordering::SeqCst) {
            return Err(std::io::Error::other("the line is cut"));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

struct Told;

impl Drop for Told {
    fn drop(&mut self) {
        NOTED.store(true, Ordering::SeqCst);
    }
}

/// Falls over as soon as it is asked for what a page shows.
struct Falls;

impl Document for Falls {
    fn title(&self) -> String {
        "it falls".to_owned()
    }

    fn lines(&self, _: recovery::state::Timestamp) -> Vec<DocumentLine> {
        panic!("the drawing fell over")
    }
}

impl Source for Falls {
    fn read(&mut self, ask: &Ask) -> Result<Answer, Trouble> {
        match ask {
            Ask::Object(Object::Why(what)) if what == "reading" => {
                let _told = Told;
                panic!("the reading fell over")
            }
            Ask::Object(Object::Why(what)) if what == "sending" => {
                FAIL.store(true, Ordering::SeqCst);
                Err("now it cannot be shown".into())
            }
            Ask::Object(object) => Ok(Answer::Object(object.clone(), Arc::new(Falls))),
            _ => Err("there is nothing".into()),
        }
    }

    fn stamp(&mut self) -> u64 {
        0
    }
}

impl Runner for Falls {
    fn run(&self, _: &[String]) -> Ran {
        Ran { status: 0, text: String::new() }
    }
}

/// Not a test of its own: what happens on the terminal. Without the variable it has nothing to do.
#[test]
fn on_the_terminal() {
    if std::env::var_os(PLAY).is_none() {
        return;
    }
    let setting = Setting {
        program: "recoveryctl".to_owned(),
        source: "nowhere".to_owned(),
        read_only: false,
        is_recovering: false,
    };
    let theme = Theme { colors: true, ascii: false };
    let options =
        Options { setting, theme, view: View::Overview, mouse: true, clock: Clock::system(), own: None };
    let runner: Arc<dyn Runner> = Arc::new(Falls);
    let sources: Sources = Arc::new(|| Box::new(Falls));
    let end = run(Line(std::io::stdout()), &sources, &runner, options, &|| NOTED.load(Ordering::SeqCst));
    // Lines begin at the left only where the terminal is as it was.
    println!("it came to {end:?}");
}

/// Plays with these keys typed; what the terminal got, and whether it ended well.
fn play(keys: &str) -> (String, bool) {
    let exe = std::env::current_exe().unwrap();
    // The state of the terminal is shown at the end: raw mode must be gone.
    let command = format!(
        "stty rows 24 cols 80; timeout --foreground 20 {} terminal::on_the_terminal --exact --nocapture; code=$?; stty -a; exit $code",
        exe.display()
    );
    let mut script = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env(PLAY, "1")
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = script.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, keys.as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    drop(stdin);
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
}

fn assert_given_back(screen: &str) {
    let left = screen.rfind("\x1b[?1049l").expect("the alternate screen was left");
    assert!(screen.find("\x1b[?1049h").expect("the alternate screen was entered") < left);
    assert!(screen.contains("\x1b[?25h"), "the cursor is back");
    assert!(screen.rfind("\x1b[?1000l") > screen.rfind("\x1b[?1000h"), "the mouse is off");
    assert!(screen.rfind("\x1b[?2004l") > screen.rfind("\x1b[?2004h"), "pasting is as it was");
    let modes = &screen[screen.find("speed").expect("stty's answer")..];
    assert!(modes.contains(" icanon") && modes.contains(" echo "), "{modes}");
}

#[test]
fn a_fault_while_drawing_gives_the_terminal_back_and_is_told() {
    let (screen, ended_well) = play(":why drawing\r");
    assert!(!ended_well, "{screen}");
    assert_given_back(&screen);
    let normal = &screen[screen.find("\x1b[?1049l").unwrap()..];
    assert!(normal.contains("the drawing fell over"), "{normal}");
}

#[test]
fn an_error_of_the_terminal_gives_it_back_and_is_handed_on() {
    let (screen, ended_well) = play(":why sending\r");
    assert!(ended_well, "{screen}");
    assert_given_back(&screen);
    let normal = &screen[screen.rfind("\x1b[?1049l").unwrap()..];
    assert!(normal.contains("it came to Err") && normal.contains("the line is cut"), "{normal}");
}

#[test]
fn a_fault_while_reading_is_told_at_the_end() {
    let (screen, ended_well) = play(":why reading\r");
    assert!(ended_well, "{screen}");
    assert_given_back(&screen);
    let normal = &screen[screen.rfind("\x1b[?1049l").unwrap()..];
    assert!(normal.contains("the reading fell over"), "{normal}");
}
