//! Reading files that no job can exchange: files of the kernel and of the host (`/proc`, `/sys`, `/etc`), the
//! server's own outside of `attempts/`, and files that the caller of the program names.
//!
//! clippy.toml bans std's functions for reading, so that each place says which kind it means: these, or
//! `open_regular` and `open_theirs` for files that others may have put there.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a file for reading.
#[allow(clippy::disallowed_methods)] // The one place for it.
pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
    File::open(path)
}

/// Reads a whole file.
#[allow(clippy::disallowed_methods)]
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    std::fs::read(path)
}

/// Reads a whole file that is text.
///
/// # Errors
/// The system's error; `InvalidData` when it is not UTF-8.
#[allow(clippy::disallowed_methods)]
pub fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    std::fs::read_to_string(path)
}
