//! The thread that reads keys.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyModifiers, MouseButton, MouseEventKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::key::Key;
use crate::message::Message;

/// How long it waits for a key until it looks whether the dashboard is over, nanoseconds.
const TURN: i64 = 100_000_000;

/// Sends what is typed until `over`; says when the terminal is gone.
pub(crate) fn read(messages: &Sender<Message>, over: &AtomicBool) {
    while !over.load(Ordering::Acquire) {
        if is_gone() || take(messages).is_err() {
            let _ = messages.send(Message::Lost);
            return;
        }
    }
}

/// Waits for a key; whether the terminal has hung up. Reading from one that has hung up tells nothing, again
/// and again, at once.
fn is_gone() -> bool {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let turn = Timespec { tv_sec: 0, tv_nsec: TURN };
    // Interrupted by a signal: looked at again.
    let _ = poll(&mut fds, Some(&turn));
    fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

/// Takes everything that waits, a change of size too.
fn take(messages: &Sender<Message>) -> io::Result<()> {
    while event::poll(Duration::ZERO)? {
        let event = event::read()?;
        // Escape and the key after it, when they come together: on a slow line they do.
        if matches!(event, Event::Key(key) if key.modifiers.contains(KeyModifiers::ALT)) {
            let _ = messages.send(Message::Key(Key::Escape));
        }
        let message = match event {
            Event::Key(key) => Key::of(key).map(Message::Key),
            Event::Paste(text) => Some(Message::Paste(text)),
            Event::Resize(columns, rows) => Some(Message::Size(columns, rows)),
            Event::Mouse(mouse) => match mouse.kind {
                MouseEventKind::ScrollUp => Some(Message::Wheel(true)),
                MouseEventKind::ScrollDown => Some(Message::Wheel(false)),
                MouseEventKind::Down(MouseButton::Left) => Some(Message::Click(mouse.row)),
                _ => None,
            },
            _ => None,
        };
        if let Some(message) = message
            && messages.send(message).is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}
