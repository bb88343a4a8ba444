//! Models with reports of every kind and size, and pictures of them.
#![allow(dead_code, unreachable_pub)] // Each test file takes what it needs.
#![allow(clippy::disallowed_methods)] // Tests write their own files.

pub mod documents;
pub mod overview;
pub mod reports;

use std::path::Path;
use std::sync::Arc;

use ratatui::buffer::Buffer;
use recovery::state::Timestamp;
use recovery_tui::key::Key;
use recovery_tui::listing::Listing;
use recovery_tui::message::{Answer, Message};
use recovery_tui::view::Theme;
use recovery_tui::{Model, Setting, View, picture, update};

pub const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (40, 10)];

pub const THEME: Theme = Theme { colors: true, ascii: false };

/// The present moment of all tests.
pub const NOW: Timestamp = Timestamp::from_millis(1_772_357_400_000);

/// So many milliseconds before it.
pub fn before(ms: i64) -> Timestamp {
    NOW.plus_millis(-ms)
}

/// How things are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    Plain,
    /// Long, wide, right to left, and full of what a terminal would obey.
    Hostile,
}

impl Names {
    pub fn name(self, i: usize) -> String {
        const HOSTILE: [&str; 6] = [
            "evil\x1b[2J\x1b]0;title\x07\r\nname",
            "日本語の非常に長いリポジトリの名前です日本語の非常に長いリポジトリの名前です",
            "مستودع-بناء\u{202e}abc\u{2066}",
            "👩‍👩‍👧‍👦 e\u{301} family",
            "a-name-that-is-much-too-long-for-any-column-of-any-terminal-that-anybody-has-ever-had-on-a-desk",
            "\u{9b}1m\x7f\u{200f}\t\0",
        ];
        match self {
            Names::Plain => {
                ["build", "deploy", "nightly", "api", "web", "docs"][i % 6].to_owned() + &suffix(i / 6)
            }
            Names::Hostile => format!("{}{i}", HOSTILE[i % HOSTILE.len()]),
        }
    }
}

fn suffix(n: usize) -> String {
    if n == 0 { String::new() } else { format!("-{n}") }
}

pub fn setting() -> Setting {
    Setting {
        program: "recoveryctl".to_owned(),
        source: "/var/lib/recoveryctl".to_owned(),
        read_only: false,
        is_recovering: false,
    }
}

/// An empty model that shows a view.
pub fn model(view: View) -> Model {
    let mut model = Model::new(setting(), view, (80, 24), NOW);
    update(&mut model, Message::Answer(Answer::Overview(Arc::new(overview::healthy()))));
    model
}

/// A model that shows a list.
pub fn showing(view: View, list: Arc<dyn Listing>) -> Model {
    let mut model = model(view);
    update(&mut model, Message::Answer(Answer::List(view, list)));
    model
}

/// One line a row, between bars, so that blanks at the end count. The cell behind a wide character is left
/// out.
pub fn lines(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let (mut x, mut line) = (0, String::new());
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(ratatui::text::Span::raw(symbol).width()).unwrap().max(1);
        }
        text.push_str(&format!("|{line}|\n"));
    }
    text
}

/// The same model on a terminal of this size.
pub fn at(model: &Model, columns: u16, rows: u16) -> Model {
    let mut model = model.clone();
    update(&mut model, Message::Size(columns, rows));
    model
}

/// Presses keys; what is to be done because of them is left.
pub fn press(model: &mut Model, keys: &[Key]) {
    keys.iter().for_each(|key| drop(update(model, Message::Key(*key))));
}

/// The pictures of a model at all sizes, in one file.
#[track_caller]
pub fn compare_all(name: &str, model: &Model) {
    let mut all = String::new();
    for (columns, rows) in SIZES {
        let drawn = picture(&at(model, columns, rows), THEME);
        all.push_str(&format!("{columns}×{rows}\n{}", lines(&drawn)));
    }
    compare(name, &all);
}

/// Compares with the picture that is kept; `UPDATE_SNAPSHOTS=1` keeps the new one.
#[track_caller]
pub fn compare(name: &str, picture: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, picture).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == picture, "{name} differs from {}:\nkept\n{kept}\nnow\n{picture}", path.display());
}
