//! The loop between a terminal and a recovery that runs on another thread or in another process.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use recovery::recovery::Snapshot;

use crate::model::{Key, Model};
use crate::plain::final_text;
use crate::terminal::Screen;
use crate::view::{Theme, draw};

/// How long a snapshot waits at most until it is shown; keys wait no longer either.
const TURN: Duration = Duration::from_millis(40);

/// How often the clocks on the screen go on without a new snapshot.
const CLOCK: Duration = Duration::from_millis(200);

/// What the operator wants of the recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// End it at its next safe points.
    Cancel,
    /// Pass this phase over.
    Skip(String),
    /// Leave the view, whatever the recovery does.
    Leave,
}

/// How to show it.
#[derive(Debug, Clone, Copy)]
pub struct LiveOptions {
    /// False under `NO_COLOR` and `--color never`.
    pub colors: bool,
}

/// How the view ended.
#[derive(Debug, Clone, PartialEq)]
pub enum LiveEnd {
    /// The recovery is over.
    Over(Box<Snapshot>),
    /// Nobody sends snapshots any more, and the last one did not say that it is over.
    Silent,
    /// The operator left while it runs.
    Left,
}

/// Shows snapshots on the terminal behind `out` (and standard input, for the keys) until one of them
/// says that the recovery is over. `ask` carries out what the operator wants and may return a line for
/// the operator; [`Ask::Leave`] is only told. At the end the normal screen is back, with the last
/// picture on it as plain text.
///
/// # Errors
/// When the terminal cannot be used; it is given back then, too.
pub fn run_live<W: Write>(
    out: W,
    snapshots: &Receiver<Snapshot>,
    options: LiveOptions,
    mut ask: impl FnMut(&Ask) -> Option<String>,
) -> io::Result<LiveEnd> {
    let mut screen = Screen::take(out)?;
    let mut model = Model::new();
    let end = follow(&mut screen, &mut model, snapshots, options, &mut ask)?;
    let columns = screen.terminal().size()?.width;
    let text = final_text(&model, columns);
    screen.give_back(&text)?;
    Ok(end)
}

fn follow<W: Write>(
    screen: &mut Screen<W>,
    model: &mut Model,
    snapshots: &Receiver<Snapshot>,
    options: LiveOptions,
    ask: &mut dyn FnMut(&Ask) -> Option<String>,
) -> io::Result<LiveEnd> {
    let theme = Theme { colors: options.colors };
    let (mut came, mut drawn) = (Instant::now(), None::<Instant>);
    loop {
        let news = take_newest(snapshots, model);
        if news == News::Snapshot {
            came = Instant::now();
        }
        if let Some(snapshot) = model.snapshot().filter(|_| model.is_over()) {
            return Ok(LiveEnd::Over(Box::new(snapshot.clone())));
        }
        if news == News::NoMore {
            return Ok(LiveEnd::Silent);
        }
        let pressed = take_keys(model, ask)?;
        if pressed == Pressed::Leave {
            return Ok(LiveEnd::Left);
        }
        let is_old = drawn.is_none_or(|at| at.elapsed() >= CLOCK);
        if news == News::Snapshot || pressed == Pressed::Something || is_old {
            model.set_age(u64::try_from(came.elapsed().as_millis()).unwrap_or(u64::MAX));
            screen.terminal().draw(|frame| draw(frame, model, theme))?;
            drawn = Some(Instant::now());
        }
    }
}

#[derive(PartialEq, Eq)]
enum News {
    None,
    Snapshot,
    NoMore,
}

/// Waits a moment for a snapshot; of several that wait already only the newest counts.
fn take_newest(snapshots: &Receiver<Snapshot>, model: &mut Model) -> News {
    match snapshots.recv_timeout(TURN) {
        Ok(first) => {
            model.show(snapshots.try_iter().last().unwrap_or(first));
            News::Snapshot
        }
        Err(RecvTimeoutError::Timeout) => News::None,
        Err(RecvTimeoutError::Disconnected) => News::NoMore,
    }
}

#[derive(PartialEq, Eq)]
enum Pressed {
    Nothing,
    Something,
    Leave,
}

fn take_keys(model: &mut Model, ask: &mut dyn FnMut(&Ask) -> Option<String>) -> io::Result<Pressed> {
    let mut pressed = Pressed::Nothing;
    while event::poll(Duration::ZERO)? {
        // A change of size is something too: the next drawing takes the new one.
        pressed = Pressed::Something;
        let Event::Key(key) = event::read()? else { continue };
        let Some(wish) = key_of(key).and_then(|key| model.press(key)) else { continue };
        model.set_notice(ask(&wish));
        if wish == Ask::Leave {
            return Ok(Pressed::Leave);
        }
    }
    Ok(pressed)
}

fn key_of(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
        KeyCode::Char('q') => Some(Key::Quit),
        KeyCode::Char('s') => Some(Key::Skip),
        KeyCode::Up | KeyCode::Char('k') => Some(Key::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::Down),
        _ => None,
    }
}
