//! Errors in the configuration, with their place.

use std::path::PathBuf;

use super::origin::Origin;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not TOML.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The parser's message.
        message: String,
    },
    /// A key that does not exist.
    #[error("{origin}: unknown key '{key}'")]
    UnknownKey {
        /// Where it was given.
        origin: Origin,
        /// With its table.
        key: String,
        /// The key that was probably meant, with its table.
        suggestion: Option<&'static str>,
    },
    /// A value of another type or outside its range.
    #[error("{origin}: {key} must be {expected}, but is {found}")]
    BadValue {
        /// Where it was given.
        origin: Origin,
        /// Its key.
        key: &'static str,
        /// The accepted values.
        expected: &'static str,
        /// The given value.
        found: String,
    },
    /// Values that do not fit together.
    #[error("{origin}: {key} contradicts another setting: {why}")]
    Contradiction {
        /// Where it was given.
        origin: Origin,
        /// Its key.
        key: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}
