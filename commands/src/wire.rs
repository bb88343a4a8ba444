//! What a command line's front end and a daemon say to each other (`--url`, `--socket`): an operation and its input, and
//! what the operation tells while it works. Both ends are this program, of the same version or not: members that are
//! not known are passed over.
//!
//! The request is a line of JSON ([`Asked`]) and behind it what the operation reads. The answer is a row of frames: a
//! byte that says what it is, four bytes of length (the first the highest) and the content ([`Told`]).

use std::path::PathBuf;

use recovery::operations::{Ending, ErrorDocument};
use recovery::recovery::Snapshot;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// Where a daemon is asked.
pub(crate) const PATH: &str = "/api/admin/command";

/// What is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// The operation's words.
    pub(crate) operation: String,
    pub(crate) request: Value,
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Questions are answered with yes.
    #[serde(default)]
    pub(crate) is_agreed: bool,
    /// The questions that were answered with yes. One that differs by now is asked again.
    #[serde(default)]
    pub(crate) agreed: Vec<String>,
    pub(crate) reason: Option<String>,
    pub(crate) lock_wait: Option<String>,
    /// Where relative paths begin.
    pub(crate) folder: Option<PathBuf>,
    /// Results are shown as they come.
    #[serde(default)]
    pub(crate) is_streamed: bool,
    /// How far it is, is shown.
    #[serde(default)]
    pub(crate) shows_progress: bool,
    /// The daemon that is asked must have this in common with the one who asks; it tells often that it lives.
    #[serde(default)]
    pub(crate) nearby: Option<Nearby>,
    /// The command line for the audit trail, without secrets.
    #[serde(default)]
    pub(crate) words: Vec<String>,
}

/// What a daemon has in common with one who could read the state directory instead.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Nearby {
    /// See [`recovery::state::config::Settings::digest`].
    pub(crate) settings: String,
    /// The state directory, by device and inode.
    pub(crate) folder: (u64, u64),
    pub(crate) version: String,
}

impl Nearby {
    /// Of this program.
    pub(crate) const VERSION: &'static str = env!("CARGO_PKG_VERSION");
}

/// The end of an operation.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// How, if it did not fail.
    pub(crate) ending: Option<Ending>,
    pub(crate) report: Option<Box<RawValue>>,
    pub(crate) failure: Option<ErrorDocument>,
}

/// What an operation tells.
#[derive(Debug)]
pub(crate) enum Told {
    Warning(String),
    Note(String),
    /// A question: the operation ends, and is requested again with the answer.
    Question(String),
    /// A part of the result.
    Printed(Vec<u8>),
    /// The same, as another program printed it.
    Foreign(Vec<u8>),
    /// One of many objects failed.
    Failed(ErrorDocument),
    /// How far a recovery is.
    Progress(Box<Snapshot>),
    /// How far other work is.
    Tick(String),
    Ended(Box<Ended>),
    /// Nothing but that it lives, or of a later version.
    Other,
}

impl Told {
    /// As it is sent.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let (kind, content) = match self {
            Told::Warning(text) => (b'w', text.as_bytes().to_vec()),
            Told::Note(text) => (b'n', text.as_bytes().to_vec()),
            Told::Question(text) => (b'q', text.as_bytes().to_vec()),
            Told::Printed(bytes) => (b'o', bytes.clone()),
            Told::Foreign(bytes) => (b'f', bytes.clone()),
            Told::Failed(error) => (b'e', written(error)),
            Told::Progress(snapshot) => (b'p', written(snapshot)),
            Told::Tick(text) => (b't', text.as_bytes().to_vec()),
            Told::Ended(ended) => (b'x', written(ended)),
            Told::Other => (b'-', Vec::new()),
        };
        let mut frame = Vec::with_capacity(content.len() + 5);
        frame.push(kind);
        frame.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.extend_from_slice(&content);
        frame
    }

    /// A whole one from the front of what has come.
    pub(crate) fn take(waiting: &mut Vec<u8>) -> Option<Result<Told, serde_json::Error>> {
        let head: [u8; 5] = waiting.get(..5)?.try_into().ok()?;
        let length = usize::try_from(u32::from_be_bytes([head[1], head[2], head[3], head[4]])).ok()?;
        let content = waiting.get(5..5 + length)?.to_vec();
        waiting.drain(..5 + length);
        Some(Told::read(head[0], content))
    }

    fn read(kind: u8, content: Vec<u8>) -> Result<Told, serde_json::Error> {
        let text = |content: &[u8]| String::from_utf8_lossy(content).into_owned();
        Ok(match kind {
            b'w' => Told::Warning(text(&content)),
            b'n' => Told::Note(text(&content)),
            b'q' => Told::Question(text(&content)),
            b'o' => Told::Printed(content),
            b'f' => Told::Foreign(content),
            b'e' => Told::Failed(parsed(&content)?),
            b'p' => Told::Progress(parsed(&content)?),
            b't' => Told::Tick(text(&content)),
            b'x' => Told::Ended(parsed(&content)?),
            _ => Told::Other,
        })
    }
}

/// Texts, numbers and lists of them: nothing in it can fail.
fn written<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn parsed<T: DeserializeOwned>(content: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_is_taken_when_it_is_whole() {
        let mut waiting = Told::Printed(b"hi".to_vec()).frame();
        let last = waiting.pop().unwrap();
        assert!(Told::take(&mut waiting).is_none());
        waiting.push(last);
        waiting.extend([b'?', 0, 0, 0, 1, 3]);
        assert!(matches!(Told::take(&mut waiting), Some(Ok(Told::Printed(bytes))) if bytes == b"hi"));
        assert!(matches!(Told::take(&mut waiting), Some(Ok(Told::Other))));
        assert!(Told::take(&mut waiting).is_none() && waiting.is_empty());
    }
}
