//! The terminal while the view has it: raw, on the alternate screen, and restored however the view ends:
//! normally, by an error, by a panic.
//!
//! Panics of other threads (a phase's, which the recovery catches) would be printed into the screen: their
//! texts are kept and returned when the terminal is restored.

use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Terminal, TerminalOptions, Viewport};

type Hook = Arc<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

pub(crate) struct Screen<W: Write> {
    terminal: Terminal<CrosstermBackend<W>>,
    panics: Arc<Mutex<Vec<String>>>,
    previous: Hook,
    is_given_back: bool,
}

impl<W: Write> Screen<W> {
    /// Takes the terminal.
    pub(crate) fn take(mut out: W) -> io::Result<Screen<W>> {
        enable_raw_mode()?;
        let entered = execute!(out, EnterAlternateScreen, EnableBracketedPaste).and_then(|()| {
            let options = TerminalOptions { viewport: Viewport::Fullscreen };
            Terminal::with_options(CrosstermBackend::new(out), options)
        });
        let terminal = entered.inspect_err(|_| drop(disable_raw_mode()))?;
        let previous: Hook = Arc::from(std::panic::take_hook());
        let panics = Arc::new(Mutex::new(Vec::new()));
        std::panic::set_hook(hook(std::thread::current().id(), Arc::clone(&panics), Arc::clone(&previous)));
        Ok(Screen { terminal, panics, previous, is_given_back: false })
    }

    /// The terminal to draw on.
    pub(crate) fn terminal(&mut self) -> &mut Terminal<CrosstermBackend<W>> {
        &mut self.terminal
    }

    /// Asks the terminal for the mouse's events, or no more.
    pub(crate) fn mouse(&mut self, on: bool) -> io::Result<()> {
        let out = self.terminal.backend_mut();
        if on { execute!(out, EnableMouseCapture) } else { execute!(out, DisableMouseCapture) }
    }

    /// Gives the terminal back and writes `text`, and what other threads' panics said, on the normal screen.
    pub(crate) fn give_back(mut self, text: &str) -> io::Result<()> {
        self.restore()?;
        let panics = std::mem::take(&mut *self.panics.lock().unwrap_or_else(PoisonError::into_inner));
        let out = self.terminal.backend_mut();
        out.write_all(text.as_bytes())?;
        panics.iter().try_for_each(|panic| writeln!(out, "{}", crate::text::safe(panic)))?;
        io::Write::flush(out)
    }

    fn restore(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.is_given_back, true) {
            return Ok(());
        }
        // While this thread panics, the hook may not be changed; the process is about to end then.
        if !std::thread::panicking() {
            drop(std::panic::take_hook());
            let previous = Arc::clone(&self.previous);
            std::panic::set_hook(Box::new(move |info| previous(info)));
        }
        let out = self.terminal.backend_mut();
        let left = execute!(out, DisableMouseCapture, DisableBracketedPaste, LeaveAlternateScreen, Show);
        disable_raw_mode().and(left)
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        let _ = self.restore();
    }
}

fn hook(
    own: ThreadId,
    panics: Arc<Mutex<Vec<String>>>,
    previous: Hook,
) -> Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync> {
    Box::new(move |info| {
        if std::thread::current().id() == own {
            // The message would be lost with the alternate screen.
            let _ = execute!(
                io::stderr(),
                DisableMouseCapture,
                DisableBracketedPaste,
                LeaveAlternateScreen,
                Show
            );
            let _ = disable_raw_mode();
            previous(info);
        } else {
            panics.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
        }
    })
}
