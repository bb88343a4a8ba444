//! Answers to requests with an `Idempotency-Key`, so that a repeated request is not executed again.
//!
//! Each key has a file in `daemon/answered/`, named by the key's digest. It is written before the request is
//! executed, with its targets (`pins`: the id of the job that it submits, the attempt that it resumes, the
//! lock that it gives back), and again with the answer before that is sent. After a crash in between, the
//! repeated request finds its pins, and acts on them or finds them done: never on other targets.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::durable::{DiskError, IoContext, read_optional, replace};
use crate::state::{StateDir, Timestamp};

/// How long answers are kept, in milliseconds.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// An answer, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// Media type of the body.
    pub content_type: String,
    /// The body, which is text.
    pub body: String,
    /// The address of what was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptRequest {
    /// Digest of method, path, query and body: a key belongs to one request.
    request: String,
    at: Timestamp,
    pins: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<StoredAnswer>,
}

/// The state of a key.
#[derive(Debug)]
pub enum PriorRequest {
    /// The key is new: go on with [`IdempotencyStore::begin`].
    Nothing,
    /// The request was begun, and its end is unknown; these are its pins.
    Unfinished(Value),
    /// The request was answered.
    Answered(StoredAnswer),
    /// The key was used for another request.
    OtherRequest,
}

/// The answers of one state directory. One process at a time uses it: the daemon.
#[derive(Debug)]
pub struct IdempotencyStore {
    dir: StateDir,
    /// Keys of requests that are being executed.
    open: Mutex<HashSet<String>>,
}

/// A key whose request is being executed: no other thread has it.
#[derive(Debug)]
pub struct OpenKey<'a> {
    book: &'a IdempotencyStore,
    name: String,
    request: String,
}

impl IdempotencyStore {
    /// Opens the store of a state directory, and removes old files.
    pub fn open(dir: &StateDir) -> Result<IdempotencyStore, DiskError> {
        let folder = dir.paths.answered();
        dir.disk.ensure_dir(&folder)?;
        let book = IdempotencyStore { dir: dir.clone(), open: Mutex::default() };
        book.forget_the_old()?;
        Ok(book)
    }

    /// Takes a key, unless a request with it is being executed.
    pub fn take(&self, key: &str, request: &[u8]) -> Option<OpenKey<'_>> {
        let name = digest(key.as_bytes());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(name.clone()).then(|| OpenKey { book: self, name, request: digest(request) })
    }

    /// Removes answers that are older than the time for which they are kept; returns their number.
    pub(crate) fn forget_the_old(&self) -> Result<usize, DiskError> {
        let (folder, now) = (self.dir.paths.answered(), self.dir.clock.now());
        let mut removed = 0;
        for entry in std::fs::read_dir(&folder).context("read", &folder)?.flatten() {
            let path = entry.path();
            // The file's own time decides, so that unreadable files are removed too.
            let Ok(Ok(written)) = entry.metadata().map(|m| m.modified()) else { continue };
            if now.millis_since(written.into()) > KEPT_MS && path.extension().is_some_and(|e| e == "json") {
                self.dir.disk.remove_file(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

impl OpenKey<'_> {
    fn path(&self) -> PathBuf {
        self.book.dir.paths.answered().join(format!("{}.json", self.name))
    }

    /// Returns the state of its key. A file that cannot be parsed counts as absent.
    pub fn known(&self) -> Result<PriorRequest, DiskError> {
        let bytes = read_optional(&self.path())?;
        let Some(kept) = bytes.and_then(|b| serde_json::from_slice::<KeptRequest>(&b).ok()) else {
            return Ok(PriorRequest::Nothing);
        };
        Ok(match kept {
            KeptRequest { request, .. } if request != self.request => PriorRequest::OtherRequest,
            KeptRequest { answer: Some(answer), .. } => PriorRequest::Answered(answer),
            KeptRequest { pins, .. } => PriorRequest::Unfinished(pins),
        })
    }

    /// Records that the request is about to be executed; synced when this returns.
    ///
    /// # Errors
    /// The system's error; the request must not be executed then.
    pub fn begin(&self, pins: &Value) -> Result<(), DiskError> {
        let bytes = self.text(pins, None);
        replace(&self.book.dir.disk, &self.path(), &bytes)
    }

    /// Records that the request was executed, with this answer; synced when this returns.
    ///
    /// # Errors
    /// The system's error; the request counts as unfinished then.
    pub fn answer(&self, pins: &Value, answer: &StoredAnswer) -> Result<(), DiskError> {
        let bytes = self.text(pins, Some(answer.clone()));
        replace(&self.book.dir.disk, &self.path(), &bytes)
    }

    fn text(&self, pins: &Value, answer: Option<StoredAnswer>) -> Vec<u8> {
        let (request, at) = (self.request.clone(), self.book.dir.clock.now());
        serde_json::to_vec(&KeptRequest { request, at, pins: pins.clone(), answer }).unwrap_or_default()
    }
}

impl Drop for OpenKey<'_> {
    fn drop(&mut self) {
        self.book.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
