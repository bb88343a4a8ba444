//! The observer that records every effect, with its content, in order.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use recovery::durable::{Effect, Observer};

use crate::Error;
use crate::event::{Bytes, Change, Event};
use crate::facts::Fact;
use crate::shutdown::Plug;

const EIO: i32 = 5;
/// The logs that have a page of shared memory.
const LOGS: [&str; 5] = [
    "state/queue/log",
    "state/audit/log",
    "state/webhooks/log",
    "state/startup/log",
    "state/cleanup/completed",
];

enum Sink {
    File(File),
    Memory(Vec<Event>),
}

impl Sink {
    fn put(&mut self, event: Event) {
        match self {
            Sink::Memory(events) => events.push(event),
            // A recording with a hole would prove nothing.
            Sink::File(file) => event.append_to(file).expect("the recording cannot be written"),
        }
    }
}

struct Inner {
    sink: Sink,
    /// The last content of the pages that processes share; `None` when it is not needed.
    pages: Option<BTreeMap<PathBuf, Bytes>>,
}

/// Records the effects of one process, or of several into one file.
pub struct Recorder {
    world: PathBuf,
    inner: Mutex<Inner>,
    syncs: AtomicU64,
    /// The sync that fails, counted from 1 in each process; 0 for none.
    failing_sync: u64,
    /// The plug that cuts the power at an effect.
    plug: Option<Plug>,
}

thread_local! {
    static SITE: std::cell::Cell<Option<&'static Location<'static>>> = const { std::cell::Cell::new(None) };
}

impl Recorder {
    /// Appends to a file that other processes may append to as well.
    pub fn to_file(world: &Path, path: &Path, failing_sync: u64) -> Result<Recorder, Error> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let plug = Plug::beside(path)?;
        Ok(Recorder { plug, ..Recorder::new(world, Sink::File(file), failing_sync) })
    }

    /// Keeps the events, for [`Recorder::take`].
    pub fn in_memory(world: &Path) -> Recorder {
        Recorder::new(world, Sink::Memory(Vec::new()), 0)
    }

    /// As [`Recorder::in_memory`], without the pages that processes share, which cost most of the time.
    pub(crate) fn of_effects(world: &Path) -> Recorder {
        let recorder = Recorder::in_memory(world);
        recorder.lock().pages = None;
        recorder
    }

    fn new(world: &Path, sink: Sink, failing_sync: u64) -> Recorder {
        Recorder {
            world: world.to_owned(),
            inner: Mutex::new(Inner { sink, pages: Some(BTreeMap::new()) }),
            syncs: AtomicU64::new(0),
            failing_sync,
            plug: None,
        }
    }

    /// The events recorded in memory so far.
    pub fn take(&self) -> Vec<Event> {
        match &mut self.lock().sink {
            Sink::Memory(events) => std::mem::take(events),
            Sink::File(_) => Vec::new(),
        }
    }

    /// Marks that something was acknowledged.
    pub fn acknowledge(&self, fact: Fact) {
        self.lock().sink.put(Event::Acknowledged(fact));
    }

    /// Records something else that happened.
    pub fn note(&self, event: Event) {
        self.lock().sink.put(event);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shared memory changes without any call: look at it around every effect.
    fn look_at_pages(&self, inner: &mut Inner) {
        let Inner { sink, pages: Some(pages) } = inner else { return };
        for log in LOGS {
            let path = Path::new(log).join("commit.page");
            let Ok(content) = std::fs::read(self.world.join(&path)) else { continue };
            if content.is_empty() || pages.get(&path).is_some_and(|known| **known == content) {
                continue;
            }
            let bytes = Arc::new(content);
            pages.insert(path.clone(), bytes.clone());
            sink.put(Event::Page { path, bytes });
        }
    }
}

fn site() -> String {
    SITE.get().map_or_else(String::new, |l| format!("{}:{}", l.file(), l.line()))
}

impl Observer for Recorder {
    fn before(&self, effect: &Effect<'_>) -> io::Result<()> {
        if let Some(plug) = &self.plug {
            plug.effect_begins()?;
        }
        let mut inner = self.lock();
        self.look_at_pages(&mut inner);
        let Some(change) = Change::of(effect, &self.world).filter(Change::is_sync) else { return Ok(()) };
        if self.syncs.fetch_add(1, Ordering::SeqCst) + 1 == self.failing_sync {
            inner.sink.put(Event::SyncFailed { change });
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(())
    }

    fn after(&self, effect: &Effect<'_>) {
        let mut inner = self.lock();
        let event = match Change::of(effect, &self.world) {
            Some(change) => Event::Changed { change, site: site() },
            None => Event::Outside { effect: format!("{effect:?}").chars().take(300).collect() },
        };
        inner.sink.put(event);
        self.look_at_pages(&mut inner);
    }

    fn reached(&self, location: &'static Location<'static>) {
        if SITE.replace(Some(location)) != Some(location) {
            self.lock().sink.put(Event::Reached { site: site() });
        }
    }
}
