//! The events of a recording, and their form in its file: one JSON line an event, followed by its bytes.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use recovery::durable::Effect;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::facts::Fact;

/// The content of a file, or bytes written to one.
pub type Bytes = Arc<Vec<u8>>;

/// One change of the disk, with paths relative to the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    Create {
        path: PathBuf,
    },
    Write {
        path: PathBuf,
        offset: u64,
        bytes: Bytes,
    },
    Truncate {
        path: PathBuf,
        len: u64,
    },
    Allocate {
        path: PathBuf,
        len: u64,
    },
    Sync {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    RemoveFile {
        path: PathBuf,
    },
    CreateDir {
        path: PathBuf,
    },
    RemoveDir {
        path: PathBuf,
    },
    SyncDir {
        path: PathBuf,
    },
    SyncFilesystem,
    /// A time or a permission: the laboratory has no model of it.
    Attribute {
        path: PathBuf,
    },
}

impl Change {
    /// Makes the change from an effect of the seam. `None` when it lies outside the world.
    pub fn of(effect: &Effect<'_>, world: &Path) -> Option<Change> {
        let inside = |path: &Path| path.strip_prefix(world).ok().map(Path::to_owned);
        Some(match *effect {
            Effect::Create { path } => Change::Create { path: inside(path)? },
            Effect::Write { path, offset, bytes } => {
                Change::Write { path: inside(path)?, offset, bytes: Arc::new(bytes.to_vec()) }
            }
            Effect::Truncate { path, len } => Change::Truncate { path: inside(path)?, len },
            Effect::Allocate { path, len } => Change::Allocate { path: inside(path)?, len },
            // The old content reads as zeros, as if zeros had been written.
            Effect::Punch { path, len } => {
                let zeros = vec![0; usize::try_from(len).unwrap_or(0)];
                Change::Write { path: inside(path)?, offset: 0, bytes: Arc::new(zeros) }
            }
            Effect::Sync { path, .. } => Change::Sync { path: inside(path)? },
            Effect::Rename { from, to, .. } => Change::Rename { from: inside(from)?, to: inside(to)? },
            Effect::RemoveFile { path } => Change::RemoveFile { path: inside(path)? },
            Effect::CreateDir { path } => Change::CreateDir { path: inside(path)? },
            Effect::RemoveDir { path } => Change::RemoveDir { path: inside(path)? },
            Effect::SyncDir { path } => Change::SyncDir { path: inside(path)? },
            Effect::SyncFilesystem { path } => inside(path).map(|_| Change::SyncFilesystem)?,
            Effect::Touch { path } | Effect::SetMode { path, .. } => {
                Change::Attribute { path: inside(path)? }
            }
            // A kind of effect without a model in this laboratory must not pass unnoticed.
            _ => return None,
        })
    }

    /// Whether it changes only this folder of the world.
    pub fn is_within(&self, folder: &Path) -> bool {
        match self {
            Change::Rename { from, to } => from.starts_with(folder) && to.starts_with(folder),
            // A sync of the outer folder makes a new folder durable.
            Change::SyncDir { .. } | Change::SyncFilesystem => true,
            Change::Create { path }
            | Change::Write { path, .. }
            | Change::Truncate { path, .. }
            | Change::Allocate { path, .. }
            | Change::Sync { path }
            | Change::RemoveFile { path }
            | Change::CreateDir { path }
            | Change::RemoveDir { path }
            | Change::Attribute { path } => path.starts_with(folder),
        }
    }

    /// Whether it makes something durable.
    pub fn is_sync(&self) -> bool {
        matches!(self, Change::Sync { .. } | Change::SyncDir { .. } | Change::SyncFilesystem)
    }
}

/// The events, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The disk changed; `site` is the place in the source that made the change.
    Changed { change: Change, site: String },
    /// A sync failed: the content that it should have made durable stays readable and is not on the disk.
    SyncFailed { change: Change },
    /// A page of memory that processes share changed; the system writes it to its file when it likes.
    Page { path: PathBuf, bytes: Bytes },
    /// A write path was taken that has not yet changed anything.
    Reached { site: String },
    /// Something was acknowledged: from here on it must survive.
    Acknowledged(Fact),
    /// An effect outside the world.
    Outside { effect: String },
    /// The result of the operation.
    Ended { error: Option<String> },
}

impl Event {
    fn split(self) -> (Event, Option<Bytes>) {
        match self {
            Event::Changed { change: Change::Write { path, offset, bytes }, site } => {
                let change = Change::Write { path, offset, bytes: Bytes::default() };
                (Event::Changed { change, site }, Some(bytes))
            }
            Event::Page { path, bytes } => (Event::Page { path, bytes: Bytes::default() }, Some(bytes)),
            other => (other, None),
        }
    }

    /// Appends it to a file in one write, so that several processes can share the file.
    pub(crate) fn append_to(self, mut file: &std::fs::File) -> Result<(), Error> {
        let (event, bytes) = self.split();
        let bytes = bytes.unwrap_or_default();
        let mut line = serde_json::to_vec(&(event, bytes.len()))?;
        line.push(b'\n');
        line.extend_from_slice(&bytes);
        Ok(file.write_all(&line)?)
    }

    /// Reads a file of events.
    pub(crate) fn read_all(path: &Path) -> Result<Vec<Event>, Error> {
        let mut file = std::io::BufReader::new(std::fs::File::open(path)?);
        let mut events = Vec::new();
        loop {
            match Event::read(&mut file)? {
                Some(event) => events.push(event),
                None => return Ok(events),
            }
        }
    }

    /// As [`Event::read_all`], for processes that were killed, perhaps during a write: reads as far as
    /// possible.
    pub(crate) fn read_until_torn(path: &Path) -> Result<Vec<Event>, Error> {
        // A process may have been killed before it made the file.
        if !path.exists() {
            return Ok(Vec::new());
        }
        let mut file = std::io::BufReader::new(std::fs::File::open(path)?);
        Ok(std::iter::from_fn(|| Event::read(&mut file).ok().flatten()).collect())
    }

    fn read(file: &mut impl BufRead) -> Result<Option<Event>, Error> {
        let mut line = String::new();
        if file.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let (mut event, len): (Event, usize) = serde_json::from_str(&line)?;
        let mut content = vec![0; len];
        file.read_exact(&mut content)?;
        if let Event::Changed { change: Change::Write { bytes, .. }, .. } | Event::Page { bytes, .. } =
            &mut event
        {
            *bytes = Arc::new(content);
        }
        Ok(Some(event))
    }
}
