//! Where the dashboard reads: a state directory, or (over HTTP) a daemon. Whoever adds another one answers
//! every [`Ask`] with the same reports.

mod directory;
mod output;

pub use directory::DirectorySource;

use crate::message::{Answer, Ask};

/// Answers what the dashboard asks. It is asked from one thread, and may take its time.
pub trait Source: Send {
    /// Reads.
    ///
    /// # Errors
    /// Why it could not be read, in a sentence. What was shown before stays on the screen.
    fn read(&mut self, ask: &Ask) -> Result<Answer, String>;

    /// A number that changes when something to be shown has changed. It may miss a change (everything is read
    /// again from time to time all the same), must be cheap, and is asked four times a second.
    fn stamp(&mut self) -> u64;
}
