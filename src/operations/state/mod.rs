//! Operations on the state directory itself.

mod adopt;
mod show;

pub use adopt::{AdoptReport, AdoptState};
pub use show::StateRequest;
