//! A key of the configuration.

use super::settings::Settings;
use super::value::{Expected, Given};

/// A key of the configuration.
pub struct Key {
    /// As in the file, with its table: `jobs.heartbeat`.
    pub name: &'static str,
    /// The meaning, in a few words.
    pub about: &'static str,
    pub(super) set: fn(&mut Settings, &Given<'_>) -> Result<(), Expected>,
    /// Its value in the form in which it is written.
    pub show: fn(&Settings) -> String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}
