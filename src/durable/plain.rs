//! Reading files that no job can exchange: files of the kernel and of the host (`/proc`, `/sys`, `/etc`), the
//! server's own outside of `attempts/`, and files that the caller of the program names.
//!
//! clippy.toml bans std's functions for reading, so that each place says which kind it means: these, or
//! `open_regular` and `open_theirs` for files that others may have put there.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// More than most files have, in bytes.
const TYPICAL: usize = 4096;

/// Opens a file for reading.
#[allow(clippy::disallowed_methods)] // The one place for it.
pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
    File::open(path)
}

/// Reads a whole file.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    // Most of these files are short, and the kernel's have no length: std would ask for the length, and begin with 32
    // bytes where there is none.
    let mut bytes = Vec::with_capacity(TYPICAL);
    open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole file that is text.
///
/// # Errors
/// The system's error; `InvalidData` when it is not UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}
