//! The thread that reads keys.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyModifiers, MouseButton, MouseEventKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::key::Key;
use crate::message::Message;

/// How long the thread waits for a key before it checks whether the dashboard is over, in nanoseconds.
const TURN: i64 = 100_000_000;

/// Sends typed keys until `over`; reports when the terminal is gone.
pub(crate) fn read(messages: &Sender<Message>, over: &AtomicBool) {
    while !over.load(Ordering::Acquire) {
        let seen = wait(TURN);
        let taken =
            if seen.intersects(GONE) { Err(io::ErrorKind::BrokenPipe.into()) } else { take(messages) };
        match taken {
            Ok(0) if wait(0).contains(PollFlags::IN) => wake(),
            Ok(_) => {}
            Err(_) => {
                let _ = messages.send(Message::Lost);
                return;
            }
        }
    }
}

/// The terminal has hung up: reading from it returns nothing, again and again, at once.
const GONE: PollFlags = PollFlags::HUP.union(PollFlags::ERR).union(PollFlags::NVAL);

/// Waits so many nanoseconds for a key; returns the events.
fn wait(nanoseconds: i64) -> PollFlags {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    // A signal may interrupt the wait; the caller looks again.
    let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: nanoseconds }));
    fds[0].revents()
}

/// Makes crossterm look at the terminal again. It waits for new events: when a change of size and a key come
/// at once, it reports the size, and the key only when the next event comes. Setting the terminal's present
/// modes wakes that wait.
fn wake() {
    let stdin = io::stdin();
    if let Ok(modes) = tcgetattr(&stdin) {
        let _ = tcsetattr(&stdin, OptionalActions::Now, &modes); // The next round tries again.
    }
}

/// Takes all waiting events, also a change of size; returns their number.
fn take(messages: &Sender<Message>) -> io::Result<usize> {
    let mut taken = 0;
    while event::poll(Duration::ZERO)? {
        let event = event::read()?;
        taken += 1;
        // Escape and the next key came together, as they do on a slow line.
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
            break;
        }
    }
    Ok(taken)
}
