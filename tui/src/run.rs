//! The loop between a terminal, the reading threads, and the model.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use recovery::recovery::{Cancel, Snapshot};
use recovery::state::{Clock, human};

use crate::action::Action;
use crate::keyboard;
use crate::message::{Answer, Ask, Effect, Message, Ran};
use crate::model::{Model, Setting};
use crate::plain::picture_text;
use crate::terminal::Screen;
use crate::update::update;
use crate::view::{Theme, draw};
use crate::views::View;
use crate::watch::{Sources, Watch};

/// How often the clocks on the screen are updated.
const CLOCK: Duration = Duration::from_secs(1);
/// How often the loop checks whether a signal asks for the end.
const LOOK: Duration = Duration::from_millis(100);
/// How long the thread that reads keys may take to end: it checks ten times a second.
const READING: Duration = Duration::from_secs(1);
/// How long the last read of a recovery's result may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs commands of recoveryctl and returns their output; nothing of it reaches the terminal.
pub trait Runner: Send + Sync {
    /// Runs a command to its end. The arguments do not include the options that name the state directory.
    fn run(&self, words: &[String]) -> Ran;
}

/// A recovery that runs in this process. The dashboard shows it and ends with it.
pub struct OwnRecovery {
    /// Its snapshots.
    pub snapshots: Receiver<Snapshot>,
    /// Cancels it.
    pub cancel: Cancel,
}

/// How it is run.
pub struct Options {
    /// The settings of the screen.
    pub setting: Setting,
    /// How it is drawn.
    pub theme: Theme,
    /// The view that is shown first.
    pub view: View,
    /// Whether the mouse is on from the start.
    pub mouse: bool,
    /// The clock.
    pub clock: Clock,
    /// A recovery to show.
    pub own: Option<OwnRecovery>,
}

/// How the dashboard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The operator left.
    Left,
    /// The recovery of this process is over, or sends no snapshots any more.
    Recovered,
    /// `stop` said so: a signal.
    Stopped,
    /// The terminal is gone.
    Lost,
}

/// Shows the dashboard on the terminal behind `out`; keys come from standard input. However it ends, the
/// terminal is as it was. `stop` is asked ten times a second whether to end.
///
/// # Errors
/// When the terminal cannot be used; it is given back then, too.
pub fn run<W: Write>(
    out: W,
    sources: &Sources,
    runner: &Arc<dyn Runner>,
    mut options: Options,
    stop: &dyn Fn() -> bool,
) -> io::Result<End> {
    let mut screen = Screen::take(out)?;
    if options.mouse {
        screen.mouse(true)?;
    }
    let size = screen.terminal().size()?;
    let mut model =
        Model::new(options.setting.clone(), options.view, (size.width, size.height), options.clock.now());
    model.has_mouse = options.mouse;
    let (sender, messages) = channel();
    let watch = Watch::start(sources, &sender);
    let over = Arc::new(AtomicBool::new(false));
    let own = options.own.take();
    let cancel = own.as_ref().map(|own| own.cancel.clone());
    let typing = Typing::start(&sender, &over);
    let end = std::thread::scope(|scope| {
        // The threads end also when drawing panics: the scope waits for them.
        let _ending = EndThreads { over: &over };
        if let Some(own) = own {
            let telling = sender.clone();
            let over = Arc::clone(&over);
            scope.spawn(move || hand_on(&own.snapshots, &telling, &over));
        }
        let mut turn =
            Turn { model: &mut model, watch: &watch, runner, sender: &sender, cancel: cancel.as_ref() };
        turn.follow(&mut screen, &messages, &options, stop)
    });
    typing.end();
    let columns = screen.terminal().size().map_or(80, |size| size.width);
    let text = match end {
        // The recovery's result stays on the normal screen.
        Ok(End::Recovered) => {
            read_the_end(&mut model, sources);
            picture_text(&model, columns, options.theme.ascii)
        }
        _ => String::new(),
    };
    screen.give_back(&text)?;
    end
}

/// The thread that reads keys. When the terminal goes while crossterm reads from it, that thread reads
/// nothing for ever (crossterm takes the end of the file for no input yet): it then ends with the process.
struct Typing {
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Typing {
    fn start(messages: &Sender<Message>, over: &Arc<AtomicBool>) -> Typing {
        let (running, ended) = channel();
        let (messages, over) = (messages.clone(), Arc::clone(over));
        std::thread::spawn(move || {
            keyboard::read(&messages, &over);
            drop(running);
        });
        Typing { ended }
    }

    /// Waits for the thread's end, because it may set the terminal's modes until then.
    fn end(self) {
        let _ = self.ended.recv_timeout(READING);
    }
}

/// Reads the recovery's result; where the disk does not answer, the known part has to suffice.
fn read_the_end(model: &mut Model, sources: &Sources) {
    let (sender, came) = channel();
    let mut source = sources();
    std::thread::spawn(move || sender.send(source.read(&Ask::Overview)));
    if let Ok(Ok(answer)) = came.recv_timeout(PATIENCE) {
        drop(update(model, Message::Answer(answer)));
    }
}

/// Tells the threads to end when it is dropped.
struct EndThreads<'a> {
    over: &'a AtomicBool,
}

impl Drop for EndThreads<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

/// Everything except the terminal.
struct Turn<'a> {
    model: &'a mut Model,
    watch: &'a Watch,
    runner: &'a Arc<dyn Runner>,
    sender: &'a Sender<Message>,
    cancel: Option<&'a Cancel>,
}

impl Turn<'_> {
    fn follow<W: Write>(
        &mut self,
        screen: &mut Screen<W>,
        messages: &Receiver<Message>,
        options: &Options,
        stop: &dyn Fn() -> bool,
    ) -> io::Result<End> {
        let mut drawn: Option<Instant> = None;
        let mut is_new = true;
        self.watch.want(&self.model.wanted());
        loop {
            if stop() {
                return Ok(End::Stopped);
            }
            if drawn.is_none_or(|at| at.elapsed() >= CLOCK) {
                drop(update(self.model, Message::Time(options.clock.now())));
                for (ask, so_long) in self.watch.slow() {
                    let text = format!(
                        "reading takes long: {} so far",
                        human::span(Duration::from_secs(so_long.as_secs()))
                    );
                    drop(update(self.model, Message::Trouble(ask, text.into())));
                }
                is_new = true;
            }
            if is_new {
                // ratatui sends only the cells that have changed.
                screen.terminal().draw(|frame| draw(frame, self.model, options.theme))?;
                drawn = Some(Instant::now());
                is_new = false;
            }
            let first = match messages.recv_timeout(LOOK) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(End::Lost),
            };
            is_new = true;
            // All waiting messages are taken in before the screen is drawn.
            for message in std::iter::once(first).chain(messages.try_iter()) {
                if matches!(message, Message::Lost) {
                    return Ok(End::Lost);
                }
                let is_told = matches!(message, Message::Answer(Answer::Progress(_)) | Message::RecoveryGone);
                drop(update(self.model, Message::Time(options.clock.now())));
                for effect in update(self.model, message) {
                    match effect {
                        Effect::Quit if is_told => return Ok(End::Recovered),
                        Effect::Quit => return Ok(End::Left),
                        Effect::Mouse(on) => screen.mouse(on)?,
                        other => self.carry_out(other),
                    }
                }
            }
            self.watch.want(&self.model.wanted());
        }
    }

    fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Refresh => self.watch.refresh(),
            Effect::CancelRecovery => {
                if let Some(cancel) = self.cancel {
                    cancel.cancel();
                }
            }
            Effect::Rehearse(action) => {
                let mut words = action.words.clone();
                words.insert(0, "--dry-run".to_owned());
                self.start(words, move |ran| Message::Rehearsed(action.words, ran));
            }
            Effect::Act(action, reason) => {
                let words = confirmed(&action, reason.as_deref());
                self.start(words, move |ran| Message::Acted(action, ran));
            }
            Effect::Mouse(_) | Effect::Quit => {}
        }
    }

    /// Starts a command on a detached thread: a recovery that was started goes on when the dashboard is left.
    fn start(&self, words: Vec<String>, told: impl FnOnce(Ran) -> Message + Send + 'static) {
        let (runner, sender) = (Arc::clone(self.runner), self.sender.clone());
        std::thread::spawn(move || {
            // The dashboard may have ended.
            let _ = sender.send(told(runner.run(&words)));
        });
    }
}

/// The words of a command that the operator has agreed to.
fn confirmed(action: &Action, reason: Option<&str>) -> Vec<String> {
    let mut words = vec!["--yes".to_owned()];
    if let Some(reason) = reason {
        words.extend(["--reason".to_owned(), reason.to_owned()]);
    }
    words.extend(action.words.iter().cloned());
    words
}

/// Passes on the snapshots of this process's recovery; of several that wait only the newest.
fn hand_on(snapshots: &Receiver<Snapshot>, messages: &Sender<Message>, over: &AtomicBool) {
    let answer = |snapshot| Message::Answer(Answer::Progress(Some(Arc::new(snapshot))));
    while !over.load(Ordering::Acquire) {
        match snapshots.recv_timeout(LOOK) {
            Ok(first) => {
                let newest = snapshots.try_iter().last().unwrap_or(first);
                if messages.send(answer(newest)).is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let _ = messages.send(Message::RecoveryGone);
                return;
            }
        }
    }
}
