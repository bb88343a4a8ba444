//! The small JSON files of a job's attempt: read tolerantly, written whole.
//!
//! Missing, damaged and whole are three different things to a verdict. A file that may not be read is none of
//! them: that is an error, and makes a verdict `unknown`.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::durable::{
    Disk, DiskError, IoContext, Survives, is_not_regular, open_regular, read_at_most, replace_to,
};

/// The version that is written into these files. From a file of a later version a reader takes the members that
/// it knows.
pub(crate) const DOCUMENT_VERSION: u32 = 1;

/// How many bytes the first call reads.
const USUAL_LENGTH: usize = 4096;
/// The longest file that is read, in bytes. The longest content is the sentinel's command line, which is at most
/// a quarter of the stack's limit.
const LONGEST: u64 = 16 << 20;

/// The result of reading a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored<T> {
    /// No file.
    Missing,
    /// A file that cannot be understood.
    Damaged {
        reason: String,
    },
    Whole(T),
}

impl<T> Stored<T> {
    /// The document, if it is whole.
    pub fn whole(&self) -> Option<&T> {
        match self {
            Stored::Whole(document) => Some(document),
            _ => None,
        }
    }

    /// Whether there is a file that cannot be understood.
    pub(crate) fn is_damaged(&self) -> bool {
        matches!(self, Stored::Damaged { .. })
    }
}

/// As [`read_stored`], with the time at which the file was last written or touched.
pub(crate) fn read_stored_with_time<T: DeserializeOwned>(
    path: &Path,
) -> Result<(Stored<T>, Option<SystemTime>), DiskError> {
    let file = match open(path)? {
        Stored::Whole(file) => file,
        Stored::Missing => return Ok((Stored::Missing, None)),
        Stored::Damaged { reason } => return Ok((Stored::Damaged { reason }, None)),
    };
    let metadata = file.metadata().context("look at", path)?;
    Ok((read_and_parse(file).context("read", path)?, metadata.modified().ok()))
}

pub(crate) fn read_stored<T: DeserializeOwned>(path: &Path) -> Result<Stored<T>, DiskError> {
    match open(path)? {
        Stored::Whole(file) => read_and_parse(file).context("read", path),
        Stored::Missing => Ok(Stored::Missing),
        Stored::Damaged { reason } => Ok(Stored::Damaged { reason }),
    }
}

/// Opens a file. Anything but a regular file counts as damage: it costs only its own job, and never blocks.
fn open(path: &Path) -> Result<Stored<File>, DiskError> {
    match open_regular(path) {
        Ok(file) => Ok(Stored::Whole(file)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Stored::Missing),
        Err(e) if is_not_regular(&e) => Ok(Stored::Damaged { reason: e.to_string() }),
        Err(e) => Err(e).context("open", path),
    }
}

/// Reads and parses a file. These files are short, and there are many: one call reads such a file, because a
/// short read of a regular file means that it ends there.
fn read_and_parse<T: DeserializeOwned>(mut file: File) -> std::io::Result<Stored<T>> {
    let mut start = [0; USUAL_LENGTH];
    let length = file.read(&mut start)?;
    if length < USUAL_LENGTH {
        return Ok(parse(&start[..length]));
    }
    let mut bytes = start.to_vec();
    match read_at_most(&file, LONGEST) {
        Ok(rest) => bytes.extend(rest),
        Err(e) if e.kind() == ErrorKind::FileTooLarge => {
            return Ok(Stored::Damaged { reason: e.to_string() });
        }
        Err(e) => return Err(e),
    }
    Ok(parse(&bytes))
}

/// Whether a file has no content, or only zeros: a power loss leaves such a file where its content was not synced.
pub(super) fn is_blank(path: &Path) -> bool {
    let bytes = open_regular(path).and_then(|file| read_at_most(&file, LONGEST));
    bytes.is_ok_and(|bytes| bytes.iter().all(|&byte| byte == 0))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Stored<T> {
    if bytes.is_empty() {
        return Stored::Damaged { reason: "it is empty".to_owned() };
    }
    match serde_json::from_slice(bytes) {
        Ok(document) => Stored::Whole(document),
        Err(e) => Stored::Damaged { reason: e.to_string() },
    }
}

pub(crate) fn write_stored<T: Serialize>(
    disk: &Disk,
    path: &Path,
    document: &T,
    survives: Survives,
) -> Result<(), DiskError> {
    let mut text = serde_json::to_vec(document).map_err(|e| DiskError {
        action: "write",
        path: path.to_owned(),
        source: e.into(),
    })?;
    text.push(b'\n');
    replace_to(disk, path, &text, survives)
}
