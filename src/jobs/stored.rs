//! The small JSON files in a job's workspace: read tolerantly, written whole.
//!
//! Missing, damaged and whole are three different things to a verdict, and a file that may not be read
//! is none of them: that is an error, and makes a verdict `unknown`.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::durable::{Disk, DiskError, Tried, read_optional, replace};

/// The version that these files bear. A reader takes what it knows from a later one.
pub(crate) const DOCUMENT_VERSION: u32 = 1;

/// What was found where a document should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored<T> {
    /// No file.
    Missing,
    /// A file that cannot be understood.
    Damaged {
        /// Why.
        reason: String,
    },
    /// The document.
    Whole(T),
}

impl<T> Stored<T> {
    /// The document, if it is whole.
    #[must_use]
    pub fn whole(&self) -> Option<&T> {
        match self {
            Stored::Whole(document) => Some(document),
            _ => None,
        }
    }

    /// Whether there is a file that cannot be understood.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        matches!(self, Stored::Damaged { .. })
    }
}

/// As [`read_stored`], with the time at which the file was last written or touched.
pub(crate) fn read_stored_with_time<T: DeserializeOwned>(
    path: &Path,
) -> Result<(Stored<T>, Option<SystemTime>), DiskError> {
    let mut file = match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((Stored::Missing, None)),
        file => file.tried("open", path)?,
    };
    let metadata = file.metadata().tried("look at", path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0).min(1 << 20) + 1);
    file.read_to_end(&mut bytes).tried("read", path)?;
    Ok((parse(&bytes), metadata.modified().ok()))
}

pub(crate) fn read_stored<T: DeserializeOwned>(path: &Path) -> Result<Stored<T>, DiskError> {
    Ok(read_optional(path)?.map_or(Stored::Missing, |bytes| parse(&bytes)))
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

pub(crate) fn write_stored<T: Serialize>(disk: &Disk, path: &Path, document: &T) -> Result<(), DiskError> {
    let mut text = serde_json::to_vec(document).map_err(|e| DiskError {
        action: "write",
        path: path.to_owned(),
        source: e.into(),
    })?;
    text.push(b'\n');
    replace(disk, path, &text)
}
