//! The state directory: paths, identity, layout version, permissions, configuration, time, names.

mod clock;
mod directory;
mod identity;
pub mod names;
mod paths;

pub use clock::{Clock, NotATime, Timestamp};
pub use directory::{StateDir, StateError};
pub use identity::{Identity, LAYOUT_VERSION};
pub use paths::{JobPaths, LockPaths, StatePaths};
