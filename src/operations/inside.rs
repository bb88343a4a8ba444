//! What a process that asks runs inside of.

use std::ffi::OsString;
use std::path::PathBuf;

/// What a process that asks has around it.
#[derive(Debug, Clone)]
pub struct Inside {
    /// Its environment.
    pub variables: Vec<(OsString, OsString)>,
    /// The folder that it works in.
    pub folder: Option<PathBuf>,
}

impl Inside {
    pub(super) fn variable(&self, name: &str) -> Option<&OsString> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}
