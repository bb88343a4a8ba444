//! Findings: what an operator should know, with the command that deals with it.
//!
//! They have stable codes from [`catalogue`], which `recoveryctl explain` prints. To add a code, add a constant to the
//! table of its area and to the list `ALL` there, and raise it with [`Finding::new`] in the story that it is about.

mod acknowledged;
pub mod catalogue;
mod finding;
mod id;
mod object;
mod severity;

pub use acknowledged::Acknowledged;
pub use finding::{Finding, shell_word};
pub(crate) use id::numbered_id;
pub use object::Object;
pub use severity::Severity;
