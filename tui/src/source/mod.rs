//! The sources of the dashboard: a state directory, or a daemon elsewhere, over HTTP. A new source answers
//! every [`Ask`] with the same reports.

mod daemon;
mod directory;
mod output;

pub use daemon::{Daemon, DaemonSource};
pub use directory::DirectorySource;

use crate::message::{Answer, Ask};

/// Why something could not be read, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The reason why a requested thing cannot be shown.
    NotRead(String),
    /// The source does not answer: the screen is as old as the last answer.
    Unreachable(String),
}

impl<T: Into<String>> From<T> for Trouble {
    fn from(why: T) -> Trouble {
        Trouble::NotRead(why.into())
    }
}

/// The text for objects without evidence.
fn no_evidence(about: &str) -> String {
    format!("there is no evidence about '{about}': job:ID, lock:REPOSITORY and orphan:ID have some")
}

/// Answers the dashboard's requests. Called from one thread, and may take its time.
pub trait Source: Send {
    /// Reads.
    ///
    /// # Errors
    /// Why it could not be read. The previous content stays on the screen.
    fn read(&mut self, ask: &Ask) -> Result<Answer, Trouble>;

    /// A number that changes when something to be shown has changed. It may miss a change (everything is read
    /// again from time to time all the same), must be cheap, and is asked four times a second.
    fn stamp(&mut self) -> u64;
}
