//! Keys, and the one table of their commands: the update uses it, the help shows it, and a test compares it
//! with `docs/tui.md`.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// A key that was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    Char(char),
    Control(char),
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    Tab,
    BackTab,
    Enter,
    Escape,
    Backspace,
}

impl Key {
    /// From a terminal event; `None` for a release and for keys without a meaning here.
    pub fn of(event: KeyEvent) -> Option<Key> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        let control = event.modifiers.contains(KeyModifiers::CONTROL);
        Some(match event.code {
            // Text that was typed before the terminal was raw ends its lines with this.
            KeyCode::Char('j') if control => Key::Enter,
            KeyCode::Char(c) if control => Key::Control(c.to_ascii_lowercase()),
            KeyCode::Char(c) => Key::Char(c),
            KeyCode::Up => Key::Up,
            KeyCode::Down => Key::Down,
            KeyCode::Left => Key::Left,
            KeyCode::Right => Key::Right,
            KeyCode::Home => Key::Home,
            KeyCode::End => Key::End,
            KeyCode::PageUp => Key::PageUp,
            KeyCode::PageDown => Key::PageDown,
            KeyCode::Tab => Key::Tab,
            KeyCode::BackTab => Key::BackTab,
            KeyCode::Enter => Key::Enter,
            KeyCode::Esc => Key::Escape,
            KeyCode::Backspace => Key::Backspace,
            _ => return None,
        })
    }
}

/// The meaning of a key while no text is typed and no dialog is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    Up,
    Down,
    Top,
    Bottom,
    PageUp,
    PageDown,
    NextView,
    PreviousView,
    View(usize),
    Open,
    Back,
    Actions,
    Next,
    Why,
    Output,
    Mark,
    Filter,
    Sort,
    Reverse,
    Refresh,
    Pause,
    Mouse,
    CommandLine,
    Help,
    Quit,
}

/// A line of the table.
#[derive(Debug)]
pub struct Binding {
    /// The keys.
    pub keys: &'static [(Key, Command)],
    /// As the help shows them.
    pub shown: &'static str,
    /// The meaning of the keys.
    pub what: &'static str,
}

const fn binding(shown: &'static str, keys: &'static [(Key, Command)], what: &'static str) -> Binding {
    Binding { keys, shown, what }
}

/// The table, in the order of the help.
pub const BINDINGS: &[Binding] = &[
    binding(
        "j k ↓ ↑",
        &[
            (Key::Char('j'), Command::Down),
            (Key::Down, Command::Down),
            (Key::Char('k'), Command::Up),
            (Key::Up, Command::Up),
        ],
        "select the line below, above",
    ),
    binding(
        "g G Home End",
        &[
            (Key::Char('g'), Command::Top),
            (Key::Home, Command::Top),
            (Key::Char('G'), Command::Bottom),
            (Key::End, Command::Bottom),
        ],
        "the first line, the last line",
    ),
    binding(
        "PgUp PgDn ^B ^F",
        &[
            (Key::PageUp, Command::PageUp),
            (Key::Control('b'), Command::PageUp),
            (Key::PageDown, Command::PageDown),
            (Key::Control('f'), Command::PageDown),
        ],
        "a screen up, down",
    ),
    binding(
        "Tab S-Tab ← →",
        &[
            (Key::Tab, Command::NextView),
            (Key::Right, Command::NextView),
            (Key::BackTab, Command::PreviousView),
            (Key::Left, Command::PreviousView),
        ],
        "the next view, the one before",
    ),
    binding(
        "1 … 9",
        &[
            (Key::Char('1'), Command::View(0)),
            (Key::Char('2'), Command::View(1)),
            (Key::Char('3'), Command::View(2)),
            (Key::Char('4'), Command::View(3)),
            (Key::Char('5'), Command::View(4)),
            (Key::Char('6'), Command::View(5)),
            (Key::Char('7'), Command::View(6)),
            (Key::Char('8'), Command::View(7)),
            (Key::Char('9'), Command::View(8)),
        ],
        "that view",
    ),
    binding("Enter", &[(Key::Enter, Command::Open)], "open what is selected"),
    binding("Esc", &[(Key::Escape, Command::Back)], "one level back; never quits"),
    binding("a", &[(Key::Char('a'), Command::Actions)], "what can be done about it, or about what is marked"),
    binding("x", &[(Key::Char('x'), Command::Next)], "do the next step that the overview names"),
    binding("w", &[(Key::Char('w'), Command::Why)], "why: the evidence behind a verdict"),
    binding("o", &[(Key::Char('o'), Command::Output)], "the job's output, as it grows"),
    binding("Space", &[(Key::Char(' '), Command::Mark)], "mark, or take the mark away"),
    binding("/", &[(Key::Char('/'), Command::Filter)], "show only lines with this text; empty shows all"),
    binding("s", &[(Key::Char('s'), Command::Sort)], "sort by the next column"),
    binding("S", &[(Key::Char('S'), Command::Reverse)], "sort the other way round"),
    binding("r", &[(Key::Char('r'), Command::Refresh)], "read everything anew"),
    binding("p", &[(Key::Char('p'), Command::Pause)], "pause: nothing is read until p again"),
    binding("m", &[(Key::Char('m'), Command::Mouse)], "mouse on, off (off: the terminal selects text)"),
    binding(":", &[(Key::Char(':'), Command::CommandLine)], "a view's name, or a command: resume JOB"),
    binding("?", &[(Key::Char('?'), Command::Help)], "this help"),
    binding(
        "q ^C",
        &[(Key::Char('q'), Command::Quit), (Key::Control('c'), Command::Quit)],
        "quit; jobs and daemon go on",
    ),
];

/// The command of a key, by the table.
pub fn command(key: Key) -> Option<Command> {
    let all = BINDINGS.iter().flat_map(|binding| binding.keys);
    all.into_iter().find(|(known, _)| *known == key).map(|(_, command)| *command)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests read what was written.
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_means_two_things() {
        let mut seen = HashSet::new();
        for (key, _) in BINDINGS.iter().flat_map(|binding| binding.keys) {
            assert!(seen.insert(key), "{key:?}");
        }
        assert_eq!(command(Key::Char('q')), Some(Command::Quit));
        assert_eq!(command(Key::Char('Z')), None);
    }

    #[test]
    fn the_guide_has_the_same_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tui.md");
        let guide = std::fs::read_to_string(path).unwrap();
        for Binding { shown, what, .. } in BINDINGS {
            let line = format!("| `{shown}` | {what} |");
            assert!(guide.contains(&line), "docs/tui.md lacks this line:\n{line}");
        }
    }
}
