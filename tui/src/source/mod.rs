//! Where the dashboard's content comes from: operations, executed in a state directory or by a daemon
//! elsewhere. So it shows the same as commands and endpoints.

mod directory;
mod operations;

pub use directory::Directory;
pub use operations::{OperationSource, Operator};

use crate::message::{Answer, Ask, Trouble};

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
